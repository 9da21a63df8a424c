"""What ends a command in words of ours: what, got, expected, and what to do."""


class RefusedError(Exception):
    """Something was refused, and nothing was published; whoever asked can put it right.

    Attributes:
        code: exit code of a command that ends by it.

    >>> print(RefusedError("Wrong archive", got="b5c8", expected="a689", to_do="Fetch it again."))
    Wrong archive: got b5c8, expected a689. Fetch it again.
    """

    code = 2

    def __init__(
        self, what: str, *, got: str | None = None, expected: str | None = None, to_do: str = ""
    ) -> None:
        self.what, self.got, self.expected, self.to_do = what, got, expected, to_do
        facts = (("got", _inner(got)), ("expected", _inner(expected)))
        seen = ", ".join(f"{word} {value}" for word, value in facts if value)
        sentence = f"{_inner(what)}: {seen}" if seen else _inner(what)
        whole = f"{sentence}. {to_do}".rstrip().removesuffix(".")
        super().__init__(whole if whole.endswith(("?", "^")) else f"{whole}.")


class StepError(RefusedError):
    """A step failed, though nothing was wrong with what was asked: a fault, not a refusal."""

    code = 1


class InUseError(RefusedError):
    """Somebody else works on it; later the same command may go."""

    code = 3


class NotOwnerError(RefusedError):
    """Only somebody with more rights can do the rest: it is of no use to try again."""


def _inner(text: str | None) -> str:
    """Words of others within a sentence of ours, where their own full stop would stand astray.

    >>> _inner("No such table."), _inner("and so on ..."), _inner(None)
    ('No such table', 'and so on ...', '')
    """
    said = (text or "").rstrip()
    return said if said.endswith("..") else said.removesuffix(".")

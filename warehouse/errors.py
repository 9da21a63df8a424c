"""The one error a user's input can cause: it says what, got, expected, and what to do."""


class RefusedError(Exception):
    """Something was refused; nothing was published.

    >>> print(RefusedError("Wrong archive", got="b5c8", expected="a689", to_do="Fetch it again."))
    Wrong archive: got b5c8, expected a689. Fetch it again.
    """

    def __init__(
        self, what: str, *, got: str | None = None, expected: str | None = None, to_do: str = ""
    ) -> None:
        self.what, self.got, self.expected, self.to_do = what, got, expected, to_do
        seen = ", ".join(
            f"{word} {value}" for word, value in (("got", got), ("expected", expected)) if value
        )
        sentence = f"{what}: {seen}" if seen else what
        super().__init__(f"{sentence}. {to_do}".rstrip().removesuffix(".") + ".")

"""What ends a command of this package: an error that a user can cause or must see, a signal."""

import signal


class ModelError(Exception):
    """Training or evaluation can't go on: says what, got, expected, and what to do.

    Attributes:
        found: all of it but what to do.

    >>> print(ModelError("Unknown model", got="'gpt'", expected="sasrec or sas_fpt"))
    Unknown model: got 'gpt', expected sasrec or sas_fpt.
    """

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, to_do: str = ""
    ) -> None:
        seen = ", ".join(
            f"{word} {value}"
            for word, value in (("got", got), ("expected", expected))
            if value is not None
        )
        self.found = sentence = f"{what}: {seen}" if seen else what
        super().__init__(f"{sentence}. {to_do}".rstrip().removesuffix(".") + ".")


class InterruptedTrainingError(BaseException):
    """A signal ended the training; its checkpoint is kept.

    No `Exception`, like `KeyboardInterrupt`: it comes in the middle of anything, and who goes on
    after whatever failed must not go on after this.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"interrupted by {signal.Signals(number).name}")


class LostRankError(Exception):
    """Another process of the same training is gone, so this one can't go on."""

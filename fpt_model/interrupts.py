"""The signals by which others end a command, and what they do where no checkpoint is to be kept."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from fpt_model.errors import InterruptedTrainingError

TOLD = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Signals end the block at once, wherever it is.

    Raises:
        InterruptedTrainingError: SIGTERM or SIGINT came.
    """

    def end(number: int, _: object) -> None:
        raise InterruptedTrainingError(number)

    before = {number: signal.signal(number, end) for number in TOLD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Many waits at once, by threads that an interrupt does not wait for."""

import queue
import threading
from collections.abc import Callable, Iterable
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
LOOK_SECONDS = 0.2  # a signal is only seen between two looks


def at_once(action: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """Do it for each item, so many at a time; the answers in the order of the items.

    Raises:
        Exception: the first that `action` raised; what had not begun by then is left out, and so
            it is after an interrupt.
    """
    waiting: queue.SimpleQueue[tuple[int, T]] = queue.SimpleQueue()
    asked = list(items)
    for number, item in enumerate(asked):
        waiting.put((number, item))
    found: dict[int, R] = {}
    failed: list[Exception] = []
    ended = threading.Event()

    def work() -> None:
        while not (failed or ended.is_set()):
            try:
                number, item = waiting.get_nowait()
                found[number] = action(item)
            except queue.Empty:
                return
            except Exception as error:
                failed.append(error)

    working = [_started(work) for _ in range(min(threads, len(asked)))]
    try:
        for thread in working:
            while thread.is_alive() and not failed:
                thread.join(LOOK_SECONDS)
    finally:
        ended.set()
    if failed:
        raise failed[0]
    return [found[number] for number in range(len(asked))]


def _started(work: Callable[[], None]) -> threading.Thread:
    """A thread with this one's context, so that what it logs belongs to the same run."""
    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    return thread

"""Many waits at once: in order, the first fault is told, the context goes along."""

import os
import signal
import threading
import time
from contextvars import ContextVar

import pytest

from tasks.at_once import at_once

WORD: ContextVar[str] = ContextVar("WORD")


def test_answers_are_in_order_and_no_more_work_than_may():
    at_work, most = 0, 0
    lock = threading.Lock()

    def square(number: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(0.01 * (number % 3))
        with lock:
            at_work -= 1
        return number * number

    assert at_once(square, range(20), 4) == [number * number for number in range(20)]
    assert 1 < most <= 4
    assert at_once(square, [], 4) == []


def test_the_first_fault_is_raised_and_nothing_is_begun_after_it():
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise ValueError("one")
        time.sleep(0.05)

    with pytest.raises(ValueError, match="one"):
        at_once(work, range(100), 2)
    time.sleep(0.2)
    assert len(begun) <= 4


def test_nothing_is_begun_after_an_interrupt():
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        time.sleep(0.1)

    interrupt = threading.Timer(0.15, os.kill, [os.getpid(), signal.SIGINT])
    # whoever runs the tests in the background may have it ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            at_once(work, range(100), 2)
        interrupt.join()
    finally:
        signal.signal(signal.SIGINT, before)
    here = len(begun)
    time.sleep(0.4)
    assert len(begun) <= here + 2


def test_a_fault_is_not_kept_waiting_by_others():
    def work(number: int) -> None:
        if number:
            time.sleep(20)
        raise ValueError

    began = time.monotonic()
    with pytest.raises(ValueError):  # noqa: PT011 - it says nothing
        at_once(work, range(2), 2)
    assert time.monotonic() - began < 15


def test_threads_have_the_context_of_who_asks():
    WORD.set("ours")
    assert at_once(lambda _: WORD.get(), range(3), 3) == ["ours"] * 3

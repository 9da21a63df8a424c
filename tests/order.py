"""In which order tests run: each worker begins with long ones and ends with short ones.

pytest-xdist's `worksteal` cuts the list of tests into a share for each worker. Who has done its own
takes half of what another still has, from its end, as long as that has more than two. So what is
last decides how long workers wait for each other.
"""

from collections import deque
from collections.abc import Sequence
from itertools import groupby
from typing import Any

# fixtures of programs, servers and databases: their tests take seconds
PROGRAMS = frozenset(("forks", "lakes", "lasting", "loaded", "prefect", "typed"))


def shortness(item: Any) -> tuple[bool, bool, bool, bool]:
    """What puts a test, as pytest has it, before or after others: the longest least."""
    return (
        item.path.name != "test_signals.py",  # a minute each
        item.get_closest_marker("slow") is None,
        PROGRAMS.isdisjoint(item.fixturenames),
        item.path.parent.name != "fpt_model",  # trainings, and kernels in an interpreter
    )


def awaits(item: Any) -> bool:
    """Whether a test begins with the home that one worker makes for all, in many seconds."""
    return "finished" in item.fixturenames


def dealt(items: Sequence[Any], workers: int) -> list[Any]:
    """The tests, in shares of about the same number, each from long to short.

    Tests of a file that are alike stay together, as what they share is made once for a worker.
    Shares in turn take files from the beginning and from the end, so that one worker makes the home
    that all need while another has no need of it yet. No share is smaller than one after it, so
    that where the list is cut one loses short tests, and none gains long ones.
    """
    shares: list[list[Any]] = [[] for _ in range(workers)]
    in_order = sorted(items, key=lambda item: (shortness(item), not awaits(item)))
    for _, alike in groupby(in_order, key=shortness):
        groups = groupby(alike, key=lambda item: (item.path, awaits(item)))
        files = deque(list(group) for _, group in groups)
        while files:
            least = min(range(workers), key=lambda number: len(shares[number]))
            shares[least] += files.pop() if least % 2 else files.popleft()
    return [item for share in sorted(shares, key=len, reverse=True) for item in share]

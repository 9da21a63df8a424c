"""In which order tests run: each worker begins with long ones and ends with short ones.

pytest-xdist's `worksteal` cuts the list of tests into a share for each worker. Who has done its own
takes half of what another still has, from its end, as long as that has more than two. So what is
last decides how long workers wait for each other.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

# fixtures of programs, servers and databases: their tests take seconds, others a tenth of one
PROGRAMS = frozenset(("forks", "lakes", "lasting", "loaded", "prefect", "typed"))


def shortness(item: Any) -> tuple[bool, bool, bool]:
    """What puts a test, as pytest has it, before or after others: the longest least."""
    return (
        item.path.name != "test_signals.py",  # a minute each
        item.get_closest_marker("slow") is None,
        PROGRAMS.isdisjoint(item.fixturenames),
    )


def dealt(items: Sequence[Any], workers: int) -> list[Any]:
    """The tests, in shares of about the same number, each from long to short.

    Tests of a file that are alike stay together, as what they share is made once for a worker. A
    share is never smaller than one after it, so that where the list is cut a share loses short
    tests, and gains none that are long.
    """
    shares: list[list[Any]] = [[] for _ in range(workers)]
    in_order = sorted(items, key=shortness)
    for _, alike in groupby(in_order, key=lambda item: (shortness(item), item.path)):
        min(shares, key=len).extend(alike)
    return [item for share in sorted(shares, key=len, reverse=True) for item in share]

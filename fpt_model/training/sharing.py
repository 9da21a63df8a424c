"""Which trainings go first, and which are shared, so that several places end at one time.

Groups wait in a line, the longest first; whoever is free takes the next (Graham's list scheduling).
Where that would leave places idle at the end, seeds of a group go apart; then a training is begun
at one place and ended at another, as a checkpoint lets it (McNaughton's wrap-around rule: nobody is
idle, and at most one training less than there are places is put aside). None of it changes a
training's outcome: a seed's weights depend neither on the seeds beside it nor on a stop.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fpt_model.config import Config
from fpt_model.training.jobs import Job

Cost = Callable[[Job], float]
WORTH = 0.05  # a training is put aside for no less than this share of the whole time


@dataclass(frozen=True)
class Work:
    """What a place gets to do at once.

    Attributes:
        jobs: seeds of the same settings, on the same sequences.
        until: the share of it after which it is put aside; 1 for never.
        deaths: how often a process died of it, or at it.
        above: a place must have more memory than this, in bytes; 0 where any will do.
    """

    jobs: tuple[Job, ...]
    until: float = 1.0
    deaths: int = 0
    above: int = 0


def in_line(groups: Sequence[Sequence[Job]], cost: Cost, places: int) -> list[Work]:
    """The work for so many places, in the order in which it is taken.

    Args:
        groups: that may train side by side.
        cost: how long a job takes; only ratios matter.
        places: how many there are.
    """

    def of(work: Work) -> float:
        return work.until * sum(map(cost, work.jobs))

    works = _apart([Work(tuple(group)) for group in groups], of, places)
    works.sort(key=of, reverse=True)  # stable: equal ones stay in their order
    least = _least([of(work) for work in works], places)
    if _makespan([of(work) for work in works], places) <= (1 + WORTH) * least:
        return works
    begun = _wrapped(works, of, least)
    rest = [work for work in works if work.jobs not in {one.jobs for one in begun}]
    return sorted(begun, key=of, reverse=True) + rest


def _least(costs: Sequence[float], places: int) -> float:
    """No order takes less time."""
    return max([sum(costs) / places, *costs])


def _makespan(costs: Sequence[float], places: int) -> float:
    """When the last place ends, if each takes the next one when it is free."""
    ends = [0.0] * places
    for cost in costs:
        heapq.heapreplace(ends, ends[0] + cost)
    return max(ends)


def _apart(works: list[Work], of: Callable[[Work], float], places: int) -> list[Work]:
    """Groups that would take longer than all the rest are halved, as long as that is so."""
    share = sum(map(of, works)) / places
    found = []
    while works:
        work = works.pop(0)
        half = len(work.jobs) // 2
        if half and of(work) > share:
            works[:0] = [Work(work.jobs[:-half]), Work(work.jobs[-half:])]
        else:
            found.append(work)
    return found


def _wrapped(works: Sequence[Work], of: Callable[[Work], float], least: float) -> list[Work]:
    """The first parts of those that are begun at one place and ended at another.

    Places are filled up to `least`, one after the other. Who does not fit begins at the next place,
    at once, and ends at this one, at last.
    """
    begun, room = [], least
    for work in works:
        late = of(work) - room
        if late < WORTH * least:
            room = max(0.0, -late)
        elif room < WORTH * least or not isinstance(work.jobs[0].config, Config):
            room = least - of(work)
        else:
            begun.append(replace(work, until=late / of(work)))
            room = least - late
    return begun

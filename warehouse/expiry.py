"""Which of all that is published is too old to keep: never what something that stays depends on."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Thing:
    """A load, a snapshot or a training.

    Attributes:
        kind: which of them.
        id: its own.
        needs: the id of what it was made from.
        label: the same for all that replace each other, as two loads of a data set do.
        made_at: when (UTC).
        publication: the greater, the newer.
        counts: whether it is one of the newest to keep; a failed training is none.
        bytes: of its files.
    """

    kind: str
    id: str
    needs: str | None
    label: str
    made_at: datetime
    publication: int
    counts: bool
    bytes: int


@dataclass(frozen=True)
class Rule:
    """What is too old: both must hold.

    Attributes:
        keep: it is not among so many newest of its kind and label.
        older_than: it was made longer ago; None: whenever it was made.
    """

    keep: int
    older_than: timedelta | None = None


def outdated(
    things: Sequence[Thing], rule: Rule, now: datetime, agreed: Collection[str] | None = None
) -> list[Thing]:
    """What may go, in the order of `things`; of what somebody agreed to, where that is given."""
    old = {thing.id for thing in _old(things, rule, now) if agreed is None or thing.id in agreed}
    by_id = {thing.id: thing for thing in things}
    staying = [thing for thing in things if thing.id not in old]
    while staying:
        needed = by_id.get(staying.pop().needs or "")
        if needed is not None and needed.id in old:
            old.remove(needed.id)
            staying.append(needed)
    return [thing for thing in things if thing.id in old]


def _old(things: Sequence[Thing], rule: Rule, now: datetime) -> Iterable[Thing]:
    seen: dict[tuple[str, str], int] = {}
    for thing in sorted(things, key=lambda one: (-one.publication, one.id)):
        newer = seen.get((thing.kind, thing.label), 0)
        if thing.counts:
            seen[thing.kind, thing.label] = newer + 1
        too_old = rule.older_than is None or thing.made_at < now - rule.older_than
        if too_old and (newer >= rule.keep or not thing.counts):
            yield thing

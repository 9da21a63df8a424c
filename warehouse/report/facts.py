"""What a report tells, asked of the published tables."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from warehouse.database import statements
from warehouse.home import Home
from warehouse.questions import ask

Row = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """What was trained with the same settings on one snapshot.

    Attributes:
        about: its row: data, retention, preset, sizes.
        scores: test metrics of each variant and protocol.
        ladder: paired differences to the rung below.
        curves: validation NDCG by epoch.
        intervals, weeks: histograms of the snapshot.
    """

    about: Row
    scores: list[Row]
    ladder: list[Row]
    curves: list[Row]
    intervals: list[Row]
    weeks: list[Row]


@dataclass(frozen=True)
class Attention:
    """Past items of a sample user; see `attended`."""

    user: int
    by: str
    rows: list[Row]


@dataclass(frozen=True)
class Facts:
    """All of a report.

    Attributes:
        experiments: see there.
        audits: expectations and how many held, by table and day.
        failures: those that did not.
        lineage: every test number down to the archive's checksum.
        attention: None where no model could be asked, `why_not` says why.
        why_not: see `attention`.
        made_at: when (UTC).
    """

    experiments: list[Experiment]
    audits: list[Row]
    failures: list[Row]
    lineage: list[Row]
    attention: Attention | None = None
    why_not: str = ""
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def gather(home: Home, attention: Attention | None = None, why_not: str = "") -> Facts:
    """Ask for everything; a home without trainings gives no experiments.

    Raises:
        RefusedError: nothing is published yet.
    """
    names = ("scores", "ladder", "curves", "intervals", "weeks")
    tables = {name: _rows(home, f"report/{name}") for name in names}
    experiments = [
        Experiment(about, **{name: _of(about, tables[name]) for name in names})
        for about in _rows(home, "report/experiments")
    ]
    return Facts(
        experiments,
        audits=_rows(home, "questions/named/audits"),
        failures=_rows(home, "questions/named/worst-audits"),
        lineage=_rows(home, "questions/named/lineage"),
        attention=attention,
        why_not=why_not,
    )


def _rows(home: Home, name: str) -> list[Row]:
    return ask(home, statements(name)).to_dicts()


def _of(about: Row, rows: list[Row]) -> list[Row]:
    """Those of the experiment's snapshot, and preset where they have one."""
    keys = ("snapshot_id", "preset")
    return [row for row in rows if all(row.get(key, about[key]) == about[key] for key in keys)]

"""What a report tells, asked of the published tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from warehouse.database import statements
from warehouse.home import Home
from warehouse.questions import ask
from warehouse.raw_ids import User

Row = dict[str, Any]
OF_PRESETS = ("scores", "comparisons", "ladder", "curves", "slices", "lists")


@dataclass(frozen=True)
class Experiment:
    """What was trained on one snapshot with the settings of one preset.

    Attributes:
        preset: name of the settings.
        scores: test metrics of each variant and protocol.
        comparisons: paired differences of each two models.
        ladder: those to the model one rung below.
        curves: validation NDCG and training loss by epoch.
        slices: NDCG by part of the users.
        lists: what each variant puts first: coverage, novelty, popularity.
    """

    preset: str
    scores: list[Row]
    comparisons: list[Row] = field(default_factory=list)
    ladder: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)
    slices: list[Row] = field(default_factory=list)
    lists: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Attention:
    """Past items of a sample user; see `explanation`."""

    user: User
    by: str
    rows: list[Row]


@dataclass(frozen=True)
class Example:
    """What a model says of one user: what it looked at, and what it recommends."""

    attention: Attention
    recommended: list[Row]


@dataclass(frozen=True)
class DataSet:
    """A page of the report: one data set with one retention.

    Attributes:
        about: its row: name, sizes.
        experiments: one for each preset.
        popularity: what ranking by popularity alone gives, by protocol.
        intervals, weeks: histograms.
        example: None where no model could be asked, `why_not` says why.
        why_not: see `example`.
    """

    about: Row
    experiments: list[Experiment]
    popularity: list[Row] = field(default_factory=list)
    intervals: list[Row] = field(default_factory=list)
    weeks: list[Row] = field(default_factory=list)
    example: Example | None = None
    why_not: str = ""

    @property
    def title(self) -> str:
        """What people call it."""
        return f"{self.about['dataset']}, {self.about['retention']}"

    @property
    def mark(self) -> str:
        """Of an archive that is not the publisher's: `unverified: ml-1m.zip`."""
        return str(self.about["data"]).removeprefix(f"{self.about['dataset']} ").strip("()")


@dataclass(frozen=True)
class Facts:
    """All of a report.

    Attributes:
        data_sets: a page each.
        audits: expectations and how many held, by day and table.
        failures: those that did not hold, each as it was seen last.
        lineage: every test figure down to the archive's checksum.
        made_at: when (UTC).
    """

    data_sets: list[DataSet]
    audits: list[Row]
    failures: list[Row]
    lineage: list[Row]
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def asked(home: Home, code_version: str) -> dict[str, str]:
    """Of the snapshot of each page the training that an example is asked of."""
    shown = {about["snapshot_id"] for about in _rows(home, "report/data_sets")}
    best = ask(home, statements("report/asked"), [code_version]).rows()
    return {snapshot: run_id for snapshot, run_id in best if snapshot in shown}


def gather(home: Home, examples: Mapping[str, Example | str] | None = None) -> Facts:
    """Ask for everything; a home without trainings gives no data sets.

    Args:
        home: where it is published.
        examples: by snapshot; text says why there is none.

    Raises:
        RefusedError: nothing is published yet.
    """
    tables = {name: _rows(home, f"report/{name}") for name in OF_PRESETS}
    return Facts(
        [
            _data_set(home, about, tables, (examples or {}).get(about["snapshot_id"], ""))
            for about in _rows(home, "report/data_sets")
        ],
        audits=_rows(home, "questions/named/audits"),
        failures=_rows(home, "report/failures"),
        lineage=_rows(home, "questions/named/lineage"),
    )


def _data_set(
    home: Home, about: Row, tables: Mapping[str, list[Row]], example: Example | str
) -> DataSet:
    snapshot = about["snapshot_id"]
    ours = {
        name: [row for row in rows if row["snapshot_id"] == snapshot]
        for name, rows in tables.items()
    }
    presets = dict.fromkeys(row["preset"] for row in ours["scores"])
    experiments = [
        Experiment(preset, **{name: _of(preset, rows) for name, rows in ours.items()})
        for preset in presets
    ]
    popularity, intervals, weeks = (
        _rows(home, f"report/{name}", [snapshot]) for name in ("popularity", "intervals", "weeks")
    )
    return DataSet(
        about,
        experiments,
        popularity,
        intervals,
        weeks,
        example=None if isinstance(example, str) else example,
        why_not=example if isinstance(example, str) else "",
    )


def _rows(home: Home, name: str, parameters: Sequence[Any] = ()) -> list[Row]:
    return ask(home, statements(name), parameters).to_dicts()


def _of(preset: str, rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["preset"] == preset]

"""Facts as one HTML file: its style within, charts as SVG, every text escaped."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from warehouse import charts
from warehouse.report import words
from warehouse.report.facts import DataSet, Experiment, Facts, Row
from warehouse.report.numbers import figure, margin
from warehouse.visible import counted

HERE = Path(__file__).parent
NAMES = {"uniform_100": "100 sampled items", "full": "all items"}
SCORES = {"recall": "Recall", "ndcg": "NDCG", "mrr": "MRR"}  # columns of the first table
METRICS = {"ndcg_10": "NDCG@10", "recall_10": "Recall@10"}
SLICES = {
    "history": "By how many interactions of the user training saw",
    "popularity": "By how often training saw the held-out item",
    "season": "By the season in which the held-out item was taken",
}
PAUSES = {  # buckets of sql/report/intervals.sql, in order
    "same second": "same second",
    "a minute": "within a minute",
    "an hour": "within an hour",
    "a day": "within a day",
    "a week": "within a week",
    "a month": "within a month",
    "a year": "within a year",
    "longer": "later",
}
MONTHS = {1: "Jan", 9: "Mar", 18: "May", 27: "Jul", 36: "Sep", 44: "Nov"}  # by first week


def page(facts: Facts) -> str:
    """The whole file."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "margin": margin, "moment": _moment}
    environment.filters |= {"counted": counted, "unnumbered": _unnumbered}
    environment.globals |= {
        "names": NAMES,
        "scores": SCORES,
        "slices": SLICES,
        "share": charts.share,
    }
    tellers = (words.headline, words.verdict, words.doubts, words.best_of, words.best_on)
    tables = (models_of, protocols_of, tops, highest_of, many_seeds, seeds_compared, audited)
    drawers = (ladder, curves, pauses, weeks)
    environment.globals |= {one.__name__: one for one in (*tellers, *tables, *drawers)}
    style = Markup((HERE / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html").render(facts=facts, style=style)


def protocols_of(experiment: Experiment) -> list[str]:
    """Those that there are scores of, in the order of the tables."""
    there = {row["protocol"] for row in experiment.scores}
    return [protocol for protocol in NAMES if protocol in there]


def models_of(experiment: Experiment) -> list[dict[str, Any]]:
    """A row a model, from the bottom of the ladder: its scores by protocol."""
    rows: dict[str, dict[str, Any]] = {}
    empty = dict.fromkeys(NAMES)
    for score in experiment.scores:
        name = score["display_name"]
        row = rows.setdefault(name, {"name": name, "scores": dict(empty), "warnings": None})
        row["n_seeds"] = score["n_seeds"]
        row["scores"][score["protocol"]] = score
        row["warnings"] = row["warnings"] or score["warnings"]
    return list(rows.values())


def tops(experiment: Experiment, popularity: Iterable[Row]) -> dict[str, dict[str, float | None]]:
    """The highest of each column; None where none stands out."""
    rows = [*experiment.scores, *popularity]
    return {
        protocol: {
            metric: highest_of([row for row in rows if row["protocol"] == protocol], metric)
            for metric in SCORES
        }
        for protocol in NAMES
    }


def highest_of(rows: Sequence[Row], metric: str = "ndcg") -> float | None:
    """The highest that is known; None where all are the same, as nothing is best then."""
    values = {row[metric] for row in rows if row[metric] is not None}
    return max(values) if len(values) > 1 else None


def many_seeds(experiment: Experiment) -> bool:
    """Whether anything is a mean over seeds."""
    return any(row["n_seeds"] > 1 for row in experiment.scores)


def seeds_compared(experiment: Experiment) -> int:
    """The fewest seeds of any model on the ladder."""
    return min((int(row["n_seeds"]) for row in experiment.ladder), default=0)


def audited(facts: Facts) -> str:
    """All audits in a sentence."""
    total = sum(row["expectations"] for row in facts.audits)
    if not total:
        return "Nothing is audited yet."
    held = sum(row["held"] for row in facts.audits)
    if held == total:
        return f"All {counted(total, 'expectation')} held, each time that they were checked."
    return f"{held:,} of {counted(total, 'expectation')} held; those that did not come first."


def ladder(experiment: Experiment, metric: str) -> Markup | None:
    """Differences to the model below, as a chart."""
    rows = [
        charts.Interval(
            f"{row['model']} − {row['baseline']}", row["difference"], row["low"], row["high"]
        )
        for row in experiment.ladder
        if row["metric"] == metric and row["low"] is not None
    ]
    return charts.forest(rows, f"Difference in {METRICS[metric]}") if rows else None


def curves(experiment: Experiment, value: str) -> Markup | None:
    """Validation NDCG or training loss by epoch, as a chart; a colour a model."""
    by_model: dict[str, list[Row]] = {}
    for row in experiment.curves:
        of = by_model.setdefault(row["display_name"], [])
        if row[value] is not None:
            of.append(row)
    series = [
        charts.Series(name, [row["epoch"] for row in rows], [row[value] for row in rows])
        for name, rows in by_model.items()
    ]
    if not any(one.values for one in series):
        return None
    return charts.lines(
        series, "epoch", {"ndcg": "NDCG@10 on validation"}.get(value, "Training loss")
    )


def pauses(data: DataSet) -> Markup | None:
    """How long after an interaction the next one comes, as a chart."""
    counts = {row["bucket"]: row["n"] for row in data.intervals}
    if not counts:
        return None
    named = [(name, counts.get(bucket, 0)) for bucket, name in PAUSES.items()]
    return charts.shares(named, "How long after one interaction the next comes")


def weeks(data: DataSet) -> Markup | None:
    """Interactions by week, as a chart."""
    counts = {row["week"]: row["n"] for row in data.weeks}
    if not counts:
        return None
    columns = [charts.Column(f"week {week}", counts.get(week, 0)) for week in range(1, 53)]
    marks = {week - 1: name for week, name in MONTHS.items()}
    return charts.columns(columns, marks, "Interactions by week of the year")


def _moment(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def _unnumbered(bucket: str) -> str:
    """A bucket's name without its place.

    >>> _unnumbered("2: 5 to 19")
    '5 to 19'
    """
    return bucket.partition(": ")[2] or bucket

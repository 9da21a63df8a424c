"""Facts as one HTML file: its style within, charts as SVG, every text escaped."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from warehouse.report import charts
from warehouse.report.facts import Experiment, Facts, Row

HERE = Path(__file__).parent
NO_GAP = -1  # see sql/report/intervals.sql


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
    environment.globals |= {"ladder": _ladder, "curves": _curves, "share": charts.share}
    environment.globals |= {"intervals": _intervals, "weeks": _weeks}
    style = Markup((HERE / "style.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html").render(facts=facts, style=style)


def figure(value: float | None) -> str:
    """Four digits without the zero, as in the papers; a dash for nothing.

    >>> figure(0.80561), figure(1.0), figure(None)
    ('.8056', '1.0000', '–')
    """
    return "–" if value is None else f"{value:.4f}".removeprefix("0")


def margin(value: float | None) -> str:
    """Half the width of an interval; nothing where there is none.

    >>> margin(0.0123), margin(None)
    ('± .0123', '')
    """
    return "" if value is None else f"± {figure(value)}"


def _moment(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M}"


def _ladder(experiment: Experiment, metric: str) -> Markup | None:
    rows = [
        charts.Interval(
            f"{row['model']} − {row['baseline']}", row["difference"], row["low"], row["high"]
        )
        for row in experiment.ladder
        if row["metric"] == metric and row["low"] is not None
    ]
    name = {"ndcg_10": "NDCG@10", "recall_10": "Recall@10"}[metric]
    return charts.forest(rows, f"difference in {name}") if rows else None


def _curves(experiment: Experiment) -> Markup | None:
    by_model: dict[str, list[Row]] = {}
    for row in experiment.curves:
        by_model.setdefault(row["display_name"], []).append(row)
    series = [
        charts.Series(name, [row["epoch"] for row in rows], [row["ndcg"] for row in rows])
        for name, rows in by_model.items()
    ]
    return charts.lines(series, "epoch", "NDCG@10 on validation") if series else None


def _intervals(experiment: Experiment) -> Markup | None:
    counts = {row["power"]: row["n"] for row in experiment.intervals}
    if not counts:
        return None
    powers = range(NO_GAP, max(counts) + 1)
    names = ["0" if power == NO_GAP else charts.short(2**power) for power in powers]
    values = [(name, counts.get(power, 0)) for name, power in zip(names, powers, strict=True)]
    across = "interval in units of the user's shortest gap, from"
    return charts.bars(values, across, "interactions", every=-(-len(values) // 8))


def _weeks(experiment: Experiment) -> Markup | None:
    counts = {row["week"]: row["n"] for row in experiment.weeks}
    values = [(str(week), counts.get(week, 0)) for week in range(1, 53)]
    return charts.bars(values, "week of the year", "interactions", every=6) if counts else None

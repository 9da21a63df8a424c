"""Figures of the results: does each rung of the ladder help, and how do the models learn."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from markupsafe import Markup

from warehouse.charts import (
    DOT,
    HEIGHT,
    LINE,
    POLYLINE,
    TEXT,
    WIDTH,
    Axis,
    Series,
    coloured,
    course,
    labels,
    legend,
    picture,
    placed,
    ticks,
)  # fmt: skip

Row = Mapping[str, Any]
LABELS, PANEL, GAP, TOP = 218, 240, 24, 44
STEP, ROOM = 11, 8  # between the lines of a rung, and between rungs
SHOWN = 0.8  # curves are drawn from this share of their best value on


def forest(
    path: Path,
    rows: Sequence[Row],
    rungs: Sequence[tuple[str, str]],
    presets: Sequence[str],
    names: Mapping[str, str],
) -> None:
    """NDCG@10 of each rung less that of its baseline, with 95 % intervals; a panel a table.

    Args:
        path: SVG file to write.
        rows: of comparisons.json, one metric and protocol.
        rungs: variant and baseline, from the top.
        presets: one line of each rung for each, in this order.
        names: of variants, for the labels.
    """
    tables = list(dict.fromkeys((row["dataset"], row["retention"]) for row in rows))
    tall = STEP * len(presets) + ROOM
    bottom = TOP + tall * len(rungs)
    x = _differences(rows)
    parts = [
        TEXT.format(LABELS, TOP + tall * (place + 0.5) + 4, "end", f"{names[a]} over {names[b]}")
        for place, (a, b) in enumerate(rungs)
    ]
    for number, table in enumerate(tables):
        panel = _frame(x, " ".join(table), bottom)
        for row in rows:
            if (row["dataset"], row["retention"]) == table:
                preset, rung = row["preset"], rungs.index((row["variant"], row["baseline"]))
                y = TOP + tall * rung + STEP * (presets.index(preset) + 0.5) + ROOM / 2
                panel += _interval(row, x, y, coloured(presets.index(preset) + 1))
        parts.append(placed(LABELS + GAP + number * (PANEL + GAP), 0, Markup("").join(panel)))
    left, below = LABELS + GAP, bottom + 46
    parts.append(legend([f"preset {preset}" for preset in presets], left, below, 160, "reach"))
    at = left + 160 * len(presets) + 6
    parts += [_diamond(at, below - 4), TEXT.format(at + 20, below, "start", "stated by the paper")]
    width = max(left + len(tables) * (PANEL + GAP), at + 160)
    _write(path, picture(width, below + 14, parts))


def _differences(rows: Sequence[Row]) -> Axis:
    ends = [row[name] for row in rows for name in ("low", "high", "paper_difference")]
    known = [end for end in ends if end is not None]
    low, high = min(0, *known), max(0, *known)
    margin = 0.05 * (high - low)
    return Axis(low - margin, high + margin, 0, PANEL)


def _frame(x: Axis, title: str, bottom: float) -> list[Markup]:
    steps = [step for step in ticks(x.low, x.high) if x.low <= step <= x.high]
    return [
        TEXT.format(0, 16, "start title", title),
        TEXT.format(0, 32, "start name", "NDCG@10 gained, 95 % intervals"),
        *(LINE.format(x(step), TOP, x(step), bottom, "grid") for step in steps),
        LINE.format(x(0), TOP, x(0), bottom, "zero"),
        *(
            TEXT.format(x(step), bottom + 16, "middle", label)
            for step, label in zip(steps, labels(steps), strict=True)
        ),
    ]


def _interval(row: Row, x: Axis, y: float, colour: str) -> Iterator[Markup]:
    if row["paper_difference"] is not None and row["preset"] == "paper":
        yield _diamond(x(row["paper_difference"]), y)
    if row["low"] is not None:
        yield LINE.format(x(row["low"]), y, x(row["high"]), y, f"{colour} reach")
    yield DOT.format(x(row["difference"]), y, 3, colour.split()[1], "")


def _diamond(x: float, y: float) -> Markup:
    corners = [(x - 5, y), (x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)]
    return POLYLINE.format(" ".join(f"{a:.1f},{b:.1f}" for a, b in corners), "mark")


def curves(
    path: Path, rows: Sequence[Row], variants: Sequence[str], names: Mapping[str, str]
) -> None:
    """Validation NDCG@10 by epoch, mean over seeds; a row of panels a table, a column a preset.

    Args:
        path: SVG file to write.
        rows: of curves.json.
        variants: in the order of their colours.
        names: of variants, for the legend.
    """
    tables = list(dict.fromkeys((row["dataset"], row["retention"]) for row in rows))
    presets = list(dict.fromkeys(row["preset"] for row in rows))
    parts = [
        legend([names[variant] for variant in variants], 8, 20),
        TEXT.format(8, 40, "start name", "NDCG@10 on validation, mean over seeds"),
    ]
    for down, table in enumerate(tables):
        for across, preset in enumerate(presets):
            wanted = (*table, preset)
            ours = [r for r in rows if (r["dataset"], r["retention"], r["preset"]) == wanted]
            title = f"{' '.join(table)}, preset {preset}"
            panel = course(_means(ours, variants), "epoch", title, dots=False)
            if ours:
                parts.append(placed(8 + across * (WIDTH + GAP), 56 + down * (HEIGHT + GAP), panel))
    width = max(len(presets) * (WIDTH + GAP), 8 + 130 * len(variants))
    _write(path, picture(width, 56 + len(tables) * (HEIGHT + GAP), parts))


def _means(rows: Sequence[Row], variants: Sequence[str]) -> list[Series]:
    """Of each variant, from where its line matters on."""
    means = [of_all([row for row in rows if row["variant"] == variant]) for variant in variants]
    best = max((value for points in means for _, value in points), default=0.0)
    kept = [[(at, value) for at, value in points if value >= SHOWN * best] for points in means]
    return [
        Series(variant, [at for at, _ in points], [value for _, value in points], number)
        for number, (variant, points) in enumerate(zip(variants, kept, strict=True), start=1)
        if points
    ]


def of_all(seeds: Sequence[Row]) -> list[tuple[int, float]]:
    """Mean over seeds of each epoch that all of them have.

    >>> of_all([{"epochs": [5, 10], "valid_ndcg_10": [0.25, 0.5]},
    ...         {"epochs": [5], "valid_ndcg_10": [0.75]}])
    [(5, 0.5)]
    """
    found = [dict(zip(row["epochs"], row["valid_ndcg_10"], strict=True)) for row in seeds]
    shared = sorted(set.intersection(*map(set, found))) if found else []
    return [(epoch, mean(one[epoch] for one in found)) for epoch in shared]


def entry(name: str, number: int) -> Markup:
    """A name of a legend beside its colour, three a row."""
    x, y = 8 + 290 * (number % 3), 20 + 22 * (number // 3)
    line = POLYLINE.format(f"{x},{y - 4} {x + 20},{y - 4}", coloured(number + 1))
    return line + TEXT.format(x + 26, y, "start", name)


def _write(path: Path, drawn: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(drawn, encoding="utf-8")

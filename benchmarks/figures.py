"""Figures of the results: does each rung of the ladder help, and how do the models learn."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from svg import COLOURS, FAINT, INK, Scale, dot, line, save, text, ticks

Row = Mapping[str, Any]
LABELS, PANEL, GAP, TOP, BOTTOM = 190, 230, 24, 44, 34
STEP, ROOM = 11, 8  # between the lines of a rung, and between rungs
WIDTH, HEIGHT, LEFT, BELOW = 290, 200, 40, 34  # of a panel of curves
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
    parts = [
        text(LABELS, TOP + tall * place + tall / 2, f"{names[a]} over {names[b]}", "end")
        for place, (a, b) in enumerate(rungs)
    ]
    for number, table in enumerate(tables):
        x = _differences(rows, LABELS + GAP + number * (PANEL + GAP))
        parts += _frame(x, " ".join(table), bottom)
        for row in rows:
            if (row["dataset"], row["retention"]) == table:
                place = rungs.index((row["variant"], row["baseline"]))
                y = TOP + tall * place + STEP * (presets.index(row["preset"]) + 0.5) + ROOM / 2
                parts += _interval(row, x, y, COLOURS[presets.index(row["preset"])])
    parts += _legend(presets, LABELS + GAP, bottom + BOTTOM + 12)
    save(path, LABELS + len(tables) * (PANEL + GAP) + GAP, bottom + BOTTOM + 22, parts)


def _differences(rows: Sequence[Row], start: float) -> Scale:
    ends = [row[name] for row in rows for name in ("low", "high", "paper_difference")]
    known = [end for end in ends if end is not None]
    low, high = min(0, *known), max(0, *known)
    margin = 0.05 * (high - low)
    return Scale(low - margin, high + margin, start, start + PANEL)


def _frame(x: Scale, title: str, bottom: float) -> list[str]:
    return [
        text(x.start, 16, title, more='font-weight="bold"'),
        text(x.start, 32, "NDCG@10 gained, 95 % intervals"),
        line([(x(0), TOP), (x(0), bottom)], FAINT),
        line([(x.start, bottom), (x.end, bottom)]),
        *(text(x(at), bottom + 14, f"{at:g}", "middle") for at in ticks(x.low, x.high, most=5)),
    ]


def _interval(row: Row, x: Scale, y: float, colour: str) -> Iterator[str]:
    if row["paper_difference"] is not None and row["preset"] == "paper":
        at = x(row["paper_difference"])
        diamond = [(at - 4, y), (at, y - 4), (at + 4, y), (at, y + 4), (at - 4, y)]
        yield line(diamond, INK)
    if row["low"] is not None:
        yield line([(x(row["low"]), y), (x(row["high"]), y)], colour, 'stroke-width="2"')
    yield dot(x(row["difference"]), y, colour)


def _legend(presets: Sequence[str], x: float, y: float) -> Iterator[str]:
    for place, preset in enumerate(presets):
        yield dot(x + 110 * place, y - 4, COLOURS[place])
        yield text(x + 110 * place + 8, y, f"preset {preset}")
    at = x + 110 * len(presets)
    yield line([(at - 4, y - 4), (at, y - 8), (at + 4, y - 4), (at, y), (at - 4, y - 4)])
    yield text(at + 8, y, "stated by the paper")


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
    parts = []
    for down, table in enumerate(tables):
        for across, preset in enumerate(presets):
            ours = [
                row
                for row in rows
                if (row["dataset"], row["retention"], row["preset"]) == (*table, preset)
            ]
            if ours:
                place = f'<g transform="translate({across * WIDTH} {down * HEIGHT})">'
                title = f"{' '.join(table)}, preset {preset}"
                parts += [place, *_curves(ours, title, variants), "</g>"]
    for place, variant in enumerate(variants):
        x, y = LEFT + 95 * place, HEIGHT * len(tables) + 14
        parts.append(line([(x, y - 4), (x + 14, y - 4)], COLOURS[place], 'stroke-width="2"'))
        parts.append(text(x + 18, y, names[variant]))
    x = LEFT + 95 * len(variants)
    parts.append(text(x, y, "NDCG@10 on validation, mean over seeds"))
    width = max(WIDTH * len(presets), x + 230)
    save(path, width, HEIGHT * len(tables) + 24, parts)


def _curves(rows: Sequence[Row], title: str, variants: Sequence[str]) -> Iterator[str]:
    means = {
        variant: of_all([row for row in rows if row["variant"] == variant]) for variant in variants
    }
    values = [value for points in means.values() for _, value in points]
    right = max(epoch for points in means.values() for epoch, _ in points)
    low, high = SHOWN * max(values), max(values)
    x = Scale(0, right, LEFT, WIDTH - 14)
    y = Scale(low, high, HEIGHT - BELOW, 28)
    yield text(LEFT, 16, title, more='font-weight="bold"')
    yield line([(LEFT, y(high)), (LEFT, y(low)), (x(right), y(low))])
    yield from (text(x(at), y(low) + 14, f"{at:g}", "middle") for at in ticks(0, right, most=5))
    yield from (text(LEFT - 5, y(at) + 4, f"{at:g}", "end") for at in ticks(low, high))
    yield text(x(right / 2), y(low) + 27, "epoch", "middle")
    for place, variant in enumerate(variants):
        points = [(x(epoch), y(value)) for epoch, value in means[variant] if value >= low]
        yield line(points, COLOURS[place], 'stroke-width="1.5"')


def of_all(seeds: Sequence[Row]) -> list[tuple[int, float]]:
    """Mean over seeds of each epoch that all of them have.

    >>> of_all([{"epochs": [5, 10], "valid_ndcg_10": [0.25, 0.5]},
    ...         {"epochs": [5], "valid_ndcg_10": [0.75]}])
    [(5, 0.5)]
    """
    found = [dict(zip(row["epochs"], row["valid_ndcg_10"], strict=True)) for row in seeds]
    shared = sorted(set.intersection(*map(set, found))) if found else []
    return [(epoch, mean(one[epoch] for one in found)) for epoch in shared]

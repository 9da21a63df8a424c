"""Learning curves as SVG: a row of panels a retention, a line a training, a colour a model.

By hand, since a plotting library would be a large dependency for a few lines.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT = 440, 260  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 34, 38  # margins within it
INK, GRID = "#374151", "#e5e7eb"
COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")
MEASURES = {"valid_ndcg_10": "validation NDCG@10", "train_loss": "training loss"}

Row = Mapping[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """The course of one training: (epoch, value), ascending."""

    colour: str
    points: tuple[Point, ...]


def draw(rows: Sequence[Row]) -> str:
    """The SVG of `questions/course`' rows."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    colours = {model: COLOURS[place % len(COLOURS)] for place, model in enumerate(models)}
    retentions = list(dict.fromkeys(row["retention"] for row in rows))
    panels = []
    for place, retention in enumerate(retentions):
        ours = [row for row in rows if row["retention"] == retention]
        for column, (measure, title) in enumerate(MEASURES.items()):
            shift = f"translate({column * WIDTH} {place * HEIGHT + TOP})"
            panel = _panel(f"{retention}: {title}", _lines(ours, measure, colours))
            panels.append(f'<g transform="{shift}">{panel}</g>')
    width, height = WIDTH * len(MEASURES), TOP + HEIGHT * len(retentions)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" '
            f'fill="{INK}">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *_legend(colours),
            *panels,
            "</svg>",
        ]
    )


def _lines(rows: Iterable[Row], measure: str, colours: Mapping[str, str]) -> list[Line]:
    courses: dict[tuple[str, int], list[Point]] = {}
    for row in rows:
        if row[measure] is not None:
            point = (row["epoch"], row[measure])
            courses.setdefault((row["model"], row["seed"]), []).append(point)
    return [Line(colours[model], tuple(points)) for (model, _), points in courses.items()]


def _legend(colours: Mapping[str, str]) -> list[str]:
    return [
        f'<rect x="{LEFT + 130 * place}" y="14" width="18" height="4" fill="{colour}"/>'
        f'<text x="{LEFT + 24 + 130 * place}" y="20">{escape(model)}</text>'
        for place, (model, colour) in enumerate(colours.items())
    ]


def _panel(title: str, lines: Sequence[Line]) -> str:
    head = f'<text x="{LEFT}" y="18" font-weight="bold">{escape(title)}</text>'
    places = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    if not values:
        return head
    first, last = min(places), max(places)
    low, high = min(values), max(values)

    def across(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - first) / (last - first or 1)

    def up(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - low) / (high - low or 1)

    grid = [
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(y):.1f}" y2="{up(y):.1f}" '
        f'stroke="{GRID}"/>'
        f'<text x="{LEFT - 6}" y="{up(y) + 4:.1f}" text-anchor="end">{y:.3f}</text>'
        for y in dict.fromkeys((low, (low + high) / 2, high))
    ]
    ends = [
        f'<text x="{across(x):.1f}" y="{HEIGHT - 20}" text-anchor="middle">{x:g}</text>'
        for x in dict.fromkeys((first, last))
    ]
    axis = f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">epoch</text>'
    drawn = [
        '<polyline fill="none" stroke-width="1.5" stroke-opacity="0.8" '
        f'stroke="{line.colour}" points="'
        + " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in line.points)
        + '"/>'
        for line in lines
    ]
    return "\n".join([head, *grid, *ends, axis, *drawn])

"""A plain chart as SVG: measured points, and the line they would follow if they grew in proportion.

By hand, since a plotting library would be a large dependency for two small panels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path

WIDTH, HEIGHT = 320, 220  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 30, 40  # margins within it
MEASURED, PROPORTIONAL, INK = "#2563eb", "#9ca3af", "#374151"


@dataclass(frozen=True)
class Panel:
    """Measured `values` at ascending `places`."""

    title: str
    places: Sequence[float]
    values: Sequence[float]


def draw(path: Path, axis: str, *panels: Panel) -> None:
    """Write the panels side by side; `axis` names what the places are."""
    width = WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">',
        f'<rect width="{width}" height="{HEIGHT}" fill="white"/>',
        *(
            f'<g transform="translate({number * WIDTH} 0)">{_panel(panel, axis)}</g>'
            for number, panel in enumerate(panels)
        ),
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _panel(panel: Panel, axis: str) -> str:
    growth = panel.values[0] / panel.places[0]
    right = max(panel.places)
    highest = max(*panel.values, growth * right)

    def at(place: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - RIGHT) * place / right
        y = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / highest
        return f"{x:.1f},{y:.1f}"

    def text(place: float, value: float, words: str, shift: str, anchor: str) -> str:
        x, y = at(place, value).split(",")
        return f'<text x="{x}" y="{y}" {shift} text-anchor="{anchor}">{words}</text>'

    def line(points: Sequence[str], colour: str, more: str = "") -> str:
        return f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" {more}/>'

    points = [at(*pair) for pair in zip(panel.places, panel.values, strict=True)]
    return "\n".join(
        [
            f'<text x="{LEFT}" y="16" font-weight="bold">{panel.title}</text>',
            line([at(0, highest), at(0, 0), at(right, 0)], INK),
            *(text(place, 0, f"{place:g}", 'dy="14"', "middle") for place in panel.places[2:]),
            text(right / 2, 0, axis, 'dy="32"', "middle"),
            *(text(0, value, f"{value:g}", 'dx="-5" dy="4"', "end") for value in _ticks(highest)),
            line([at(0, 0), at(right, growth * right)], PROPORTIONAL, 'stroke-dasharray="4 3"'),
            line(points, MEASURED, 'stroke-width="1.5"'),
            *(
                f'<circle cx="{point.split(",")[0]}" cy="{point.split(",")[1]}" r="2.5" '
                f'fill="{MEASURED}"/>'
                for point in points
            ),
            f'<text x="{WIDTH - RIGHT}" y="16" text-anchor="end">dashed: in proportion</text>',
        ]
    )


def _ticks(highest: float) -> list[float]:
    """Round numbers from 0 up to `highest`, four to eight of them.

    >>> _ticks(97)
    [0, 20, 40, 60, 80]
    """
    power = 10 ** floor(log10(highest))
    step = next(power * part for part in (0.2, 0.5, 1, 2) if highest / (power * part) < 8)
    return [round(step * number, 10) for number in range(int(highest / step) + 1)]

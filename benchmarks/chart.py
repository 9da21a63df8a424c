"""How a measure grows: measured points, and the line they would follow in proportion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from svg import COLOURS, FAINT, Scale, dot, line, save, text, ticks

WIDTH, HEIGHT = 320, 220  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 30, 40  # margins within it
MEASURED = COLOURS[0]


@dataclass(frozen=True)
class Panel:
    """Measured `values` at ascending `places`."""

    title: str
    places: Sequence[float]
    values: Sequence[float]


def draw(path: Path, axis: str, *panels: Panel) -> None:
    """Write the panels side by side; `axis` names what the places are."""
    parts = [
        f'<g transform="translate({number * WIDTH} 0)">{_panel(panel, axis)}</g>'
        for number, panel in enumerate(panels)
    ]
    save(path, WIDTH * len(panels), HEIGHT, parts)


def _panel(panel: Panel, axis: str) -> str:
    growth = panel.values[0] / panel.places[0]
    right = max(panel.places)
    highest = max(*panel.values, growth * right)
    x = Scale(0, right, LEFT, WIDTH - RIGHT)
    y = Scale(0, highest, HEIGHT - BOTTOM, TOP)
    points = [(x(place), y(value)) for place, value in zip(panel.places, panel.values, strict=True)]
    return "\n".join(
        [
            text(LEFT, 16, panel.title, more='font-weight="bold"'),
            line([(LEFT, TOP), (LEFT, y(0)), (x(right), y(0))]),
            *(text(x(place), y(0) + 14, f"{place:g}", "middle") for place in panel.places[2:]),
            text(x(right / 2), y(0) + 32, axis, "middle"),
            *(text(LEFT - 5, y(at) + 4, f"{at:g}", "end") for at in ticks(0, highest)),
            line([(LEFT, y(0)), (x(right), y(growth * right))], FAINT, 'stroke-dasharray="4 3"'),
            line(points, MEASURED, 'stroke-width="1.5"'),
            *(dot(*point, MEASURED) for point in points),
            text(WIDTH - RIGHT, 16, "dashed: in proportion", "end"),
        ]
    )

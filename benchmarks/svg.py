"""Parts of plain SVG figures, on a card of their own white: legible on light pages and dark ones.

By hand, since a plotting library would be a large dependency for a few small figures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from pathlib import Path

INK, FAINT = "#374151", "#9ca3af"
# Okabe and Ito's colours, told apart by everybody
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True)
class Scale:
    """Places of values on an axis: `low` at `start`, `high` at `end`.

    >>> Scale(0, 10, 100, 200)(2.5)
    125.0
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


def save(path: Path, width: float, height: float, parts: Iterable[str]) -> None:
    """Write a figure."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">',
        f'<rect width="{width:g}" height="{height:g}" fill="white"/>',
        *parts,
        "</svg>",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    """Words that start, end or have their middle at a place."""
    space = " " if more else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{space}{more}>{escape(words)}</text>'
    )


def line(points: Sequence[tuple[float, float]], colour: str = INK, more: str = "") -> str:
    """A line through places."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" {more}/>'


def dot(x: float, y: float, colour: str, more: str = "") -> str:
    """A measured point."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}" {more}/>'


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers from `low` to `high`, zero among them if it lies there; at most so many.

    >>> ticks(0, 97)
    [0, 20, 40, 60, 80]
    >>> ticks(-0.011, 0.012, most=3)
    [-0.01, 0.0, 0.01]
    """
    power = 10 ** floor(log10(high - low))
    step = next(
        power * part for part in (0.2, 0.5, 1, 2, 5) if (high - low) / (power * part) < most
    )
    return [round(step * number, 10) for number in range(ceil(low / step), floor(high / step) + 1)]

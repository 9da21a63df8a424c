"""Charts as SVG within a page: plain functions from numbers to markup, coloured by its style sheet.

A chart is 420 units wide, so that its words can still be read on a narrow screen. Every text is
escaped by `Markup.format`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10

from markupsafe import Markup

WIDTH = 420
HEIGHT = 240
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 40  # margins
ROW = 38  # of a forest plot: a line of words, a line with the interval
TEXT = Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>')
LINE = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>')
SVG = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')


@dataclass(frozen=True)
class Axis:
    """From values to places on the page."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return self.start + (self.end - self.start) * (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Series:
    """A line of a chart: its name, and values at ascending places."""

    name: str
    places: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot."""

    name: str
    middle: float
    low: float
    high: float


def lines(series: Sequence[Series], across: str, up: str) -> Markup:
    """Lines with points; number n of them has the class `series-n`."""
    values = [value for one in series for value in one.values]
    steps = ticks(min(values), max(values))
    last = max(place for one in series for place in one.places)
    x = Axis(0, last, LEFT, WIDTH - RIGHT)
    y = Axis(steps[0], steps[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        _grid(y, steps),
        *(TEXT.format(x(step), HEIGHT - 22, "middle", f"{step:g}") for step in ticks(0, last)),
        TEXT.format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "middle name", across),
        *(_line(number, one, x, y) for number, one in enumerate(series, start=1)),
    ]
    return SVG.format(WIDTH, HEIGHT, f"{up} by {across}", Markup("").join(parts))


def bars(values: Sequence[tuple[str, float]], across: str, up: str, every: int = 1) -> Markup:
    """Columns of named values from zero; every n-th name is written."""
    steps = ticks(0, max(value for _, value in values))
    y = Axis(0, steps[-1], HEIGHT - BOTTOM, TOP)
    width = (WIDTH - LEFT - RIGHT) / len(values)
    column = Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="bar">'
        "<title>{}: {:,.0f}</title></rect>"
    )
    parts = [_grid(y, steps), TEXT.format(WIDTH / 2 + 18, HEIGHT - 4, "middle name", across)]
    for number, (name, value) in enumerate(values):
        left = LEFT + number * width
        size = (width * 0.84, y(0) - y(value))
        parts.append(column.format(left + width * 0.08, y(value), *size, name, value))
        if number % every == 0:
            parts.append(TEXT.format(left + width / 2, HEIGHT - 22, "middle", name))
    return SVG.format(WIDTH, HEIGHT, f"{up} by {across}", Markup("").join(parts))


def forest(rows: Sequence[Interval], across: str) -> Markup:
    """Differences with their intervals, one below the other, and the line of no difference."""
    ends = [end for row in rows for end in (row.low, row.high)]
    steps = ticks(min([*ends, 0]), max([*ends, 0]))
    x = Axis(steps[0], steps[-1], 28, WIDTH - 28)
    bottom = TOP + ROW * len(rows)
    parts = [
        *(LINE.format(x(step), TOP, x(step), bottom, "grid") for step in steps),
        *(TEXT.format(x(step), bottom + 16, "middle", _signed(step)) for step in steps),
        LINE.format(x(0), TOP, x(0), bottom, "zero"),
        TEXT.format(WIDTH / 2, bottom + 34, "middle name", across),
        *(_interval(row, x, TOP + ROW * number) for number, row in enumerate(rows)),
    ]
    return SVG.format(WIDTH, bottom + 40, across, Markup("").join(parts))


def share(value: float, largest: float) -> Markup:
    """One bar, for a row of a table."""
    bar = Markup(
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{:.1%}">'
        '<rect width="{:.1f}" height="10" class="bar"/></svg>'
    )
    return bar.format(value, 100 * value / largest if largest else 0)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers at and beyond both ends, about five of them.

    >>> ticks(0.13, 0.178)
    [0.13, 0.14, 0.15, 0.16, 0.17, 0.18]
    >>> ticks(0, 97)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    span = high - low or abs(high) or 1.0
    power = 10.0 ** floor(log10(span))
    step = next(power * part for part in (0.1, 0.2, 0.5, 1, 2, 5) if span / (power * part) <= 5)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, max(last, first + 1) + 1)]


def _grid(y: Axis, steps: Sequence[float]) -> Markup:
    rules = [LINE.format(LEFT, y(step), WIDTH - RIGHT, y(step), "grid") for step in steps]
    words = [TEXT.format(LEFT - 6, y(step) + 4, "end", short(step)) for step in steps]
    return Markup("").join([*rules, *words])


def _line(number: int, one: Series, x: Axis, y: Axis) -> Markup:
    points = [(x(place), y(value)) for place, value in zip(one.places, one.values, strict=True)]
    segment = Markup("").join(
        LINE.format(*first, *second, f"series series-{number}")
        for first, second in pairwise(points)
    )
    dot = Markup(
        '<circle cx="{:.1f}" cy="{:.1f}" r="3" class="dot series-{}"><title>{}</title></circle>'
    )
    said = [
        f"{one.name}, {place:g}: {value:.4f}"
        for place, value in zip(one.places, one.values, strict=True)
    ]
    dots = [dot.format(*point, number, words) for point, words in zip(points, said, strict=True)]
    return segment + Markup("").join(dots)


def _interval(row: Interval, x: Axis, top: float) -> Markup:
    sign = "better" if row.low > 0 else "worse" if row.high < 0 else "undecided"
    said = f"{row.middle:+.4f} ({row.low:+.4f} to {row.high:+.4f})"
    mark = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="4.5" class="dot {}"/>')
    return Markup("").join(
        [
            TEXT.format(16, top + 13, "start", row.name),
            TEXT.format(WIDTH - 16, top + 13, "end", said),
            LINE.format(x(row.low), top + 26, x(row.high), top + 26, f"reach {sign}"),
            mark.format(x(row.middle), top + 26, sign),
        ]
    )


def short(value: float) -> str:
    """A number for an axis.

    >>> short(120000), short(2**23), short(0.14), short(0)
    ('120k', '8.39M', '0.14', '0')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= max(size, 1e4):
            return f"{value / size:.3g}{unit}"
    return f"{value:g}"


def _signed(value: float) -> str:
    return f"{value:+g}" if value else "0"

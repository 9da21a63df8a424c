"""Charts as SVG: plain functions from numbers to markup, coloured by the report's style sheet.

Within a page a chart is 420 units wide, so that its words can still be read on a narrow screen. A
picture of its own brings the style sheet's rules along, on a white card. By hand, since a plotting
library would be a large dependency for a few small figures. Every text is escaped by
`Markup.format`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path

from markupsafe import Markup

from warehouse.report.numbers import signed

WIDTH = 420
HEIGHT = 250
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 40  # margins; the title stands in the upper one
COLOURS = 6
ROW = 40  # of a forest plot: a line of words, a line with the interval
STEP, NAMES, AMOUNTS = 24, 126, 66  # of shares: a row, the room for names and for amounts
TEXT = Markup('<text x="{:.1f}" y="{:.1f}" class="{}">{}</text>')
LINE = Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>')
POLYLINE = Markup('<polyline points="{}" class="{}"/>')
DOT = Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="dot {}">{}</circle>')
SVG = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
RECT = Markup(
    '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="bar">'
    "<title>{}: {:,.0f}</title></rect>"
)


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
    """A line of a chart: its name, and values at ascending places; a colour, else by its turn."""

    name: str
    places: Sequence[float]
    values: Sequence[float]
    colour: int = 0


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot."""

    name: str
    middle: float
    low: float
    high: float


@dataclass(frozen=True)
class Column:
    """A column of a histogram."""

    name: str
    value: float


def lines(series: Sequence[Series], across: str, up: str) -> Markup:
    """Lines with points; number n of them has the class `series-n`."""
    return SVG.format(WIDTH, HEIGHT, f"{up} by {across}", course(series, across, up))


def course(
    series: Sequence[Series], across: str, up: str, title: str = "", *, dots: bool = True
) -> Markup:
    """What such a chart is made of; nothing but its title where no line has a point."""
    values = [value for one in series for value in one.values]
    if not values:
        return _title(title or up)
    steps = ticks(min(values), max(values))
    last = max(place for one in series for place in one.places)
    places = ticks(0, last, whole=True)
    x = Axis(0, places[-1], LEFT, WIDTH - RIGHT)
    y = Axis(steps[0], steps[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        _title(title or up),
        _grid(y, steps),
        *(
            TEXT.format(x(place), HEIGHT - 22, "middle", label)
            for place, label in zip(places, labels(places), strict=True)
        ),
        TEXT.format((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, "middle name", across),
        *(_line(one, one.colour or n, x, y, dots=dots) for n, one in enumerate(series, start=1)),
    ]
    return Markup("").join(parts)


def picture(width: float, height: float, parts: Iterable[Markup]) -> str:
    """A file of its own: the light colours, whatever the page around it has."""
    sheet = (Path(__file__).parent / "report" / "style.css").read_text(encoding="utf-8")
    colours = sheet.partition("color-scheme: light dark;")[2].partition("}")[0]
    rules = sheet.partition("/* charts */")[2].partition("/* end of charts */")[0]
    head = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{0:g}" height="{1:g}" '
        'viewBox="0 0 {0:g} {1:g}">\n<style>svg {{ {2} font-family: sans-serif; }}{3}</style>\n'
        '<rect width="{0:g}" height="{1:g}" fill="white"/>\n'
    ).format(width, height, Markup(colours.strip()), Markup(rules))
    return str(head + Markup("\n").join(parts) + Markup("\n</svg>\n"))


def placed(x: float, y: float, part: Markup) -> Markup:
    """A part of a picture, where it belongs."""
    return Markup('<g transform="translate({:g} {:g})">{}</g>').format(x, y, part)


def legend(names: Sequence[str], x: float, y: float, step: float = 130, kind: str = "") -> Markup:
    """Names beside short lines of their colours; `kind` is a class more."""
    return Markup("").join(
        POLYLINE.format(
            f"{x + step * n},{y - 4} {x + step * n + 20},{y - 4}",
            f"{coloured(n + 1)} {kind}".strip(),
        )
        + TEXT.format(x + step * n + 26, y, "start", name)
        for n, name in enumerate(names)
    )


def coloured(number: int) -> str:
    """The classes of line number n; there are six colours."""
    return f"series series-{(number - 1) % COLOURS + 1}"


def columns(values: Sequence[Column], marks: Mapping[int, str], title: str) -> Markup:
    """A histogram from zero; `marks` are what is written below columns, by their place."""
    steps = ticks(0, max(one.value for one in values), whole=True)
    y = Axis(0, steps[-1], HEIGHT - BOTTOM, TOP)
    width = (WIDTH - LEFT - RIGHT) / len(values)
    parts = [_title(title), _grid(y, steps)]
    for number, one in enumerate(values):
        left = LEFT + number * width
        size = (width * 0.84, y(0) - y(one.value))
        parts.append(RECT.format(left + width * 0.08, y(one.value), *size, one.name, one.value))
        if number in marks:
            parts.append(TEXT.format(left, HEIGHT - 22, "start", marks[number]))
    return SVG.format(WIDTH, HEIGHT - 12, title, Markup("").join(parts))


def shares(values: Sequence[tuple[str, float]], title: str) -> Markup:
    """Named values, one below the other, and what part each is of them all."""
    total = sum(value for _, value in values) or 1
    x = Axis(0, max(value for _, value in values) or 1, NAMES, WIDTH - AMOUNTS)
    parts = [_title(title)]
    for number, (name, value) in enumerate(values):
        top = TOP + number * STEP
        parts.append(TEXT.format(NAMES - 8, top + 16, "end", name))
        parts.append(RECT.format(NAMES, top + 4, x(value) - NAMES, STEP - 8, name, value))
        parts.append(TEXT.format(x(value) + 6, top + 16, "start name", f"{value / total:.1%}"))
    return SVG.format(WIDTH, TOP + STEP * len(values) + 8, title, Markup("").join(parts))


def forest(rows: Sequence[Interval], title: str) -> Markup:
    """Differences with their intervals, one below the other, and the line of no difference."""
    ends = [end for row in rows for end in (row.low, row.high)]
    steps = ticks(min([*ends, 0]), max([*ends, 0]))
    x = Axis(steps[0], steps[-1], 28, WIDTH - 28)
    bottom = TOP + ROW * len(rows)
    parts = [
        _title(title),
        *(LINE.format(x(step), TOP, x(step), bottom, "grid") for step in steps),
        *(
            TEXT.format(x(step), bottom + 16, "middle", f"+{label}" if step > 0 else label)
            for step, label in zip(steps, labels(steps), strict=True)
        ),
        LINE.format(x(0), TOP, x(0), bottom, "zero"),
        *(_interval(row, x, TOP + ROW * number) for number, row in enumerate(rows)),
    ]
    return SVG.format(WIDTH, bottom + 24, title, Markup("").join(parts))


def share(value: float, largest: float) -> Markup:
    """One bar, for a row of a table."""
    bar = Markup(
        '<svg viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{:.1%}">'
        '<rect width="{:.1f}" height="10" class="bar"/></svg>'
    )
    return bar.format(value, 100 * value / largest if largest else 0)


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round numbers at and beyond both ends, about five of them; only whole ones on request.

    >>> ticks(0.13, 0.178)
    [0.13, 0.14, 0.15, 0.16, 0.17, 0.18]
    >>> ticks(0, 97), ticks(0, 3, whole=True)
    ([0.0, 20.0, 40.0, 60.0, 80.0, 100.0], [0.0, 1.0, 2.0, 3.0])
    """
    span = high - low or abs(high) or 1.0
    power = 10.0 ** floor(log10(span))
    step = next(power * part for part in (0.1, 0.2, 0.5, 1, 2, 5) if span / (power * part) <= 5)
    step = max(step, 1.0) if whole else step
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(step * number, 12) for number in range(first, max(last, first + 1) + 1)]


def labels(steps: Sequence[float]) -> list[str]:
    """Ticks as text, all with the same unit and as many digits, so that none looks cut.

    >>> labels([-0.05, 0.0, 0.05]), labels([0, 5000, 10000])
    (['−0.05', '0', '0.05'], ['0', '5,000', '10,000'])
    >>> labels([0, 50000, 100000]), labels([0, 500000, 1000000])
    (['0', '50k', '100k'], ['0', '0.5M', '1.0M'])
    """
    largest = max(map(abs, steps))
    unit, size = next(
        (unit, size)
        for unit, size, least in (("G", 1e9, 1e9), ("M", 1e6, 1e6), ("k", 1e3, 1e5), ("", 1, 0))
        if largest >= least
    )
    step = (steps[1] - steps[0]) / size
    digits = max(0, -floor(log10(step) + 1e-9))
    return [f"{step / size:,.{digits}f}{unit}".replace("-", "−") if step else "0" for step in steps]


def _title(text: str) -> Markup:
    return TEXT.format(0, 16, "start title", text)


def _grid(y: Axis, steps: Sequence[float]) -> Markup:
    rules = [LINE.format(LEFT, y(step), WIDTH - RIGHT, y(step), "grid") for step in steps]
    words = [
        TEXT.format(LEFT - 6, y(step) + 4, "end", label)
        for step, label in zip(steps, labels(steps), strict=True)
    ]
    return Markup("").join([*rules, *words])


def _line(one: Series, number: int, x: Axis, y: Axis, *, dots: bool) -> Markup:
    points = [(x(place), y(value)) for place, value in zip(one.places, one.values, strict=True)]
    path = " ".join(f"{across:.1f},{up:.1f}" for across, up in points)
    line = POLYLINE.format(path, coloured(number))
    said = [
        Markup("<title>{}, {:g}: {:.4f}</title>").format(one.name, *pair)
        for pair in zip(one.places, one.values, strict=True)
    ]
    colour = coloured(number).split()[1]
    shown = zip(points, said, strict=True) if dots else ()
    return line + Markup("").join(DOT.format(*point, 2.5, colour, words) for point, words in shown)


def _interval(row: Interval, x: Axis, top: float) -> Markup:
    sign = "better" if row.low > 0 else "worse" if row.high < 0 else "undecided"
    said = f"{signed(row.middle)} ({signed(row.low)} to {signed(row.high)})"
    return Markup("").join(
        [
            TEXT.format(0, top + 14, "start", row.name),
            TEXT.format(WIDTH, top + 14, "end", said),
            LINE.format(x(row.low), top + 28, x(row.high), top + 28, f"reach {sign}"),
            DOT.format(x(row.middle), top + 28, 4.5, sign, ""),
        ]
    )

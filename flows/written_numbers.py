"""Numbers in tables as people write them: alike within a column, with digits that say something."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

GROUPED_FROM = 10_000  # four digits are read at once, and may be a year
FOUR_BELOW, TWO_BELOW = 10, 1_000  # decimals, by the largest of a column
TINY = 0.001  # where even the largest would lose its digits
HUGE = 1e15  # beyond it, digits before the point are mostly noise
# numbers that name something are no amounts
_NAMES = re.compile(r"(?:.*_)?(id|user|movie|seed|timestamp|year|port|pid|publication)")

Rows = Sequence[Mapping[str, Any]]


def written(rows: Rows) -> list[dict[str, Any]]:
    """Rows of which each number is its text; all else stays.

    >>> written([{"n_users": 6040, "rank": 20.0}, {"n_users": 1000209, "rank": 1.0}])
    [{'n_users': '6040', 'rank': '20'}, {'n_users': '1,000,209', 'rank': '1'}]
    >>> written([{"user_id": 100000, "rank": 1.5, "rows": None}])
    [{'user_id': '100000', 'rank': '1.5000', 'rows': None}]
    """
    columns = {
        name: column(name, [row[name] for row in rows]) for name in (rows[0] if rows else ())
    }
    return [{name: columns[name][place] for name in columns} for place in range(len(rows))]


def column(name: str, values: Sequence[Any]) -> list[Any]:
    """The values of a column, its numbers as text.

    >>> column("recall", [0.35008, 1.0]), column("seconds", [9.125, 1234.56])
    (['0.3501', '1.0000'], ['9.1', '1,234.6'])
    >>> column("loss", [0.00001234, 0.0]), column("x", [float("nan"), 1e300])
    (['1.234e-05', '0'], ['nan', '1e+300'])
    """
    fractions = [x for x in values if isinstance(x, float) and math.isfinite(x)]
    style = _style(fractions)
    return [_text(name, value, style) for value in values]


def _style(fractions: Sequence[float]) -> str:
    """How all fractions of a column are written; empty where none of them is one."""
    largest = max(map(abs, fractions), default=0.0)
    if all(x == int(x) for x in fractions):
        return ""
    if largest < TINY:
        return ".4g"
    return ".4f" if largest < FOUR_BELOW else ".2f" if largest < TWO_BELOW else ",.1f"


def _text(name: str, value: Any, style: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, float) and (not math.isfinite(value) or abs(value) >= HUGE):
        return str(value)
    if isinstance(value, int) or not style:
        grouped = abs(value) >= GROUPED_FROM and not _NAMES.fullmatch(name)
        return f"{int(value):,}" if grouped else str(int(value))
    text = f"{value:{style}}"
    # what is not nothing is not written as nothing
    return f"{value:.1g}" if value and not text.strip("-0.") else text

"""Which genres each item has, as training takes them."""

import json

import polars as pl


def genres(items: pl.DataFrame) -> str | None:
    """See `numbered`.

    Args:
        items: as `core.items`, ordered by `item_id`.
    """
    return numbered([(one or "").split("|") for one in items["genres"]])


def numbered(lists: list[list[str]]) -> str | None:
    """Names in order, and of each item the numbers of its own from 1, as JSON; None without any.

    >>> numbered([["War", "Drama"], [], ["Drama"], [""]])
    '{"names":["Drama","War"],"items":[[1,2],[],[1],[]]}'
    """
    names = sorted({name for one in lists for name in one} - {""})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    own = [sorted({numbers[name] for name in one if name}) for one in lists]
    return json.dumps({"names": names, "items": own}, separators=(",", ":")) if names else None

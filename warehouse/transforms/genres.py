"""Which genres each item has, as training takes them."""

import json

import polars as pl


def genres(items: pl.DataFrame) -> str | None:
    """Names, and of each item the numbers of its genres from 1, as JSON; None where there are none.

    Args:
        items: as `core.items`, ordered by `item_id`.

    >>> genres(pl.DataFrame({"genres": ["War|Drama", None, "Drama", ""]}))
    '{"names":["Drama","War"],"items":[[1,2],[],[1],[]]}'
    """
    lists = [sorted({*(one or "").split("|")} - {""}) for one in items["genres"]]
    names = sorted({name for one in lists for name in one})
    numbers = {name: number for number, name in enumerate(names, start=1)}
    said = {"names": names, "items": [[numbers[name] for name in one] for one in lists]}
    return json.dumps(said, separators=(",", ":")) if names else None

"""Settings by the names that they have now, where the names of presets tell what was changed.

A catalogue of earlier code has the names of then; `RENAMED` in fpt_model/config.py has them all,
and a test holds this table beside it. `config` stays as the training's own files have it.
"""

from functools import reduce

import duckdb

CHANGED = {
    " user_dropout=": " sse_user=",
    " item_dropout=": " sse_item=",
    " moment=request": " time_reference=query",
    " moment=": " time_reference=",
    " average=": " ema_decay=",
    " rivals=all": " exclude_seen=false",
    " rivals=unseen": " exclude_seen=true",
}


def preset_of_now(name: str) -> str:
    """A preset's name in tables, with what was changed of it by the names of now.

    >>> preset_of_now("best moment=last average=0.5")
    'best time_reference=last ema_decay=0.5'
    """
    return reduce(lambda text, old: text.replace(old, CHANGED[old]), CHANGED, name)


def rename(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the names of presets up to date: the same settings are compared under one name."""
    for old, new in CHANGED.items():
        connection.execute(
            "UPDATE mart.training_runs SET preset = replace(preset, $old, $new) "
            "WHERE contains(preset, $old)",
            {"old": old, "new": new},
        )

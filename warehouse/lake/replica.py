"""A home's catalogue as the lake has it: what the home reads, and makes its next one from."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import duckdb

from warehouse.database import quoted
from warehouse.lake.changes import now
from warehouse.lake.tables import refuse_newer, there, wanted
from warehouse.stored import KEYS


def fill(lake: duckdb.DuckDBPyConnection, draft: Path) -> None:
    """Bring all small tables into an empty catalogue, as one moment has them.

    Raises:
        RefusedError: a newer version made the lake.
    """
    lake.execute(f"ATTACH {quoted(str(draft))} AS replica")
    lake.begin()
    try:
        found = _tables(lake)
        for table in wanted().keys() - KEYS.keys():  # a new catalogue has rows of its own
            lake.execute(f"DELETE FROM replica.{table}")
        for table, columns in found.items():
            if table not in KEYS:
                names = ", ".join(f'"{name}"' for name in columns)
                lake.execute(
                    f"INSERT INTO replica.{table} BY NAME SELECT {names} FROM lake.{table}"
                )
        lake.commit()
    except BaseException:
        with suppress(duckdb.Error):
            lake.rollback()
        raise
    finally:
        with suppress(duckdb.Error):
            lake.execute("DETACH replica")


def _tables(lake: duckdb.DuckDBPyConnection) -> Mapping[str, Iterable[str]]:
    """Tables and columns to bring; where the same code made both catalogues, they are known.

    Raises:
        RefusedError: a newer version made the lake.
    """
    if now(lake)[1] == now(lake, "replica")[1]:
        return wanted()
    found = there(lake)  # this takes half a second: DuckDB looks into every view
    refuse_newer(found)
    return found

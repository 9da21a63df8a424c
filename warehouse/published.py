"""The connection that questions get: it can't write, reach other files or be talked out of it."""

from pathlib import Path
from typing import Any

import duckdb

from warehouse.errors import RefusedError
from warehouse.home import Home

MEMORY_LIMIT = "2GB"
SPILL_LIMIT = "8GB"


def guarded(home: Home, spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """Open the published copy.

    Args:
        home: where it is.
        spill: folder for what exceeds the memory; DuckDB makes it when it needs it. Without one
            it is `<database>.tmp`.

    Raises:
        RefusedError: nothing is published yet; the file does not open.
    """
    if not home.published.exists():
        raise RefusedError(
            "Nothing is published yet", got=f"no {home.published}", to_do="Run `fpt run` first"
        )
    config: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "enable_external_access": False}
    if spill is not None:
        config |= {"temp_directory": str(spill), "max_temp_directory_size": SPILL_LIMIT}
    try:
        connection = duckdb.connect(str(home.published), read_only=True, config=config)
    except duckdb.Error as error:
        raise RefusedError(
            f"{home.published.name} does not open",
            got=str(error).splitlines()[0],
            to_do="Delete it and run `fpt run` again: it is a copy of warehouse.duckdb",
        ) from error
    connection.execute("SET python_enable_replacements = false")  # our variables are no tables
    connection.execute("SET lock_configuration = true")
    return connection

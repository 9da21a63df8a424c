"""Read-only SQL over the published copy, for people who query metrics."""

import threading
from collections.abc import Sequence
from typing import Any

import duckdb
import polars as pl

from warehouse.errors import RefusedError
from warehouse.home import Home

TIMEOUT_SECONDS = 60.0
MEMORY_LIMIT = "2GB"


def ask(
    home: Home,
    question: str,
    parameters: Sequence[Any] = (),
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> pl.DataFrame:
    """Answer one SQL question; it can read the published tables and nothing else.

    Raises:
        RefusedError: nothing is published yet; the SQL is wrong, forbidden, or takes too long.
    """
    if not home.published.exists():
        raise RefusedError(
            "Nothing is published yet", got=f"no {home.published}", to_do="Run `fpt run` first"
        )
    with _guarded(home) as connection:
        stop = threading.Timer(timeout_seconds, connection.interrupt)
        stop.start()
        try:
            relation = connection.sql(question, params=list(parameters) or None)
            return pl.DataFrame() if relation is None else relation.pl()
        except duckdb.InterruptException as error:
            raise RefusedError(
                "The question took too long", got=f"no answer within {timeout_seconds:.0f} s"
            ) from error
        except duckdb.Error as error:
            raise RefusedError(f"The question was refused: {error}") from error
        finally:
            stop.cancel()


def _guarded(home: Home) -> duckdb.DuckDBPyConnection:
    """A connection that can't write, reach other files or be talked out of it."""
    config: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "enable_external_access": False}
    try:
        connection = duckdb.connect(str(home.published), read_only=True, config=config)
    except duckdb.Error as error:
        raise RefusedError(
            f"{home.published.name} does not open",
            got=str(error).splitlines()[0],
            to_do="Delete it and run `fpt run` again: it is a copy of warehouse.duckdb",
        ) from error
    connection.execute("SET lock_configuration = true")
    return connection

"""Our own questions to what is published; people's go through `warehouse/published.py`."""

import threading
from collections.abc import Sequence
from typing import Any

import duckdb
import polars as pl

from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.only_reading import refuse_writing
from warehouse.published import guarded

TIMEOUT_SECONDS = 60.0


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
    with guarded(home) as connection:
        stop = threading.Timer(timeout_seconds, connection.interrupt)
        stop.start()
        try:
            refuse_writing(connection, question, parameters)
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

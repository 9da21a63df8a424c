"""Our own questions to what is published; people's go through `warehouse/answers.py`."""

import threading
from collections.abc import Sequence
from typing import Any

import duckdb
import polars as pl

from warehouse.catalogue import reading
from warehouse.errors import RefusedError
from warehouse.following import publication
from warehouse.home import Home
from warehouse.published import no_answer, refuse_unpublished

TIMEOUT_SECONDS = 60.0


def ask(
    home: Home,
    question: str,
    parameters: Sequence[Any] = (),
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> pl.DataFrame:
    """Answer one of our SQL questions from the newest catalogue.

    Raises:
        RefusedError: nothing is published yet; the SQL is wrong, or takes too long; what was asked
            is withdrawn meanwhile.
    """
    refuse_unpublished(home)
    asked = publication(home)
    with reading(home) as connection:
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
            raise no_answer(home, asked, error) from error
        finally:
            stop.cancel()

"""What must be true of the numbers that stand for the ids of own data."""

from collections.abc import Mapping

from expectations.facts import Facts
from expectations.vocabulary import (
    Suite,
    between,
    contract,
    in_set,
    no_rows,
    row_count,
    unique,
)

MAX_ID = 2**31 - 1


def keys(facts: Facts, table: str, columns: Mapping[str, str]) -> Suite:
    """Expectations on `raw.user_keys` or `raw.item_keys`; reads `raw.ratings` too.

    Args:
        facts: what must be known.
        table: which of the two.
        columns: load, number and id.
    """
    _, number, key = columns
    return Suite(
        table,
        (number,),
        [
            row_count(None, reason="Every load has some."),
            *contract(table, columns),
            in_set(
                "load_id",
                [facts.load_id],
                reason="Staging holds one load; rows of another are a mix.",
            ),
            between(number, 1, MAX_ID, reason="Prepared tables hold them in 32 bits."),
            unique(number, reason="A number of two ids would make one of them."),
            unique(key, reason="An id of two numbers would cut a history in two."),
            no_rows(
                f"{number} in the order of {key}",
                f"""
                SELECT * FROM (
                    SELECT {number}, {key}, lag({key}) OVER (ORDER BY {number}, {key}) AS before
                    FROM batch
                ) WHERE {key} < before
                """,
                reason="Numbers follow from the data alone, so that a rerun gives the same.",
            ),
            no_rows(
                f"{number} of raw.ratings known",
                f"""
                SELECT DISTINCT {number} FROM raw.ratings ANTI JOIN batch USING ({number})
                WHERE {number} IS NOT NULL
                """,
                reason="Without its id nobody could name it.",
            ),
        ],
    )

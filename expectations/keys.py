"""What must be true of the numbers that stand for the ids of own data."""

from collections.abc import Mapping

from expectations.facts import Facts
from expectations.vocabulary import (
    Suite,
    between,
    contract,
    in_order_of,
    no_rows,
    of_load,
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
            of_load(facts),
            between(number, 1, MAX_ID, reason="Prepared tables hold them in 32 bits."),
            unique(number, reason="A number of two ids would make one of them."),
            unique(key, reason="An id of two numbers would cut a history in two."),
            in_order_of(number, key),
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

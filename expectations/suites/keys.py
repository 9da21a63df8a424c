"""What must be true of the numbers that stand for the ids of own data."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Suite,
    contiguous,
    contract,
    in_set,
    no_rows,
    row_count,
    unique,
)


def keys(facts: Facts, what: str) -> Suite:
    """Expectations on `raw.user_keys` or `raw.item_keys`: `what` is "user" or "item"."""
    table, number, key = f"raw.{what}_keys", f"raw_{what}_id", f"{what}_key"
    columns = {"load_id": "VARCHAR", number: "BIGINT", key: "VARCHAR"}
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
            unique(number, reason="A number of two ids would make one of them."),
            unique(key, reason="An id of two numbers would cut a history in two."),
            contiguous(number),
            no_rows(
                f"{number} in the order of {key}",
                f"""
                SELECT * FROM (
                    SELECT {number}, {key}, lag({key}) OVER (ORDER BY {number}) AS before
                    FROM batch
                ) WHERE {key} < before
                """,
                reason="Numbers follow from the data alone, so that a rerun gives the same.",
            ),
            no_rows(
                f"{number} of raw.ratings known",
                f"SELECT DISTINCT {number} FROM raw.ratings ANTI JOIN batch USING ({number})",
                reason="Without its id nobody could name it.",
            ),
        ],
    )

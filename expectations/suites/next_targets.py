"""What must be true of `mart.next_targets`: what came after a snapshot as of some day."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Suite,
    between,
    contract,
    no_rows,
    of_snapshot,
    row_count,
    unique,
)

TABLE = "mart.next_targets"
COLUMNS = {
    "snapshot_id": "VARCHAR",
    "user_id": "INTEGER",
    "raw_item_id": "BIGINT",
    "item_id": "INTEGER",
    "timestamp": "BIGINT",
    "waited_seconds": "BIGINT",
}


def suite(facts: Facts) -> Suite:
    """Expectations on targets; `facts.timestamp_min` is when the day begins."""
    return Suite(
        TABLE,
        ("user_id",),
        [
            row_count(None, reason="Without anybody who came back there is nothing to rank."),
            *contract(TABLE, COLUMNS, optional=("item_id",)),
            of_snapshot(facts),
            unique("user_id", reason="Each user comes back once: the next time."),
            between(
                "timestamp",
                facts.timestamp_min,
                facts.timestamp_max,
                reason="What the snapshot could have known is no test of foresight.",
            ),
            between("waited_seconds", 1, None, reason="It came after all that was known."),
            no_rows(
                "user_id and item_id as in core.users and core.items",
                """
                SELECT batch.* FROM batch
                LEFT JOIN core.users AS users USING (user_id)
                LEFT JOIN core.items AS items USING (item_id)
                WHERE users.user_id IS NULL
                   OR items.raw_item_id IS DISTINCT FROM
                      (CASE WHEN batch.item_id IS NOT NULL THEN batch.raw_item_id END)
                """,
                reason="Another number is another item.",
            ),
        ],
    )

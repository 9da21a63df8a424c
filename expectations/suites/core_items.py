"""What must be true of `core.items`."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    Suite,
    contiguous,
    contract,
    in_order_of,
    no_rows,
    of_snapshot,
    row_count,
    unique,
)

TABLE = "core.items"
COLUMNS = {
    "snapshot_id": "VARCHAR",
    "item_id": "INTEGER",
    "raw_item_id": "BIGINT",
    "title": "VARCHAR",
    "genres": "VARCHAR",
    "n_train": "BIGINT",
}
_TOUCHED = """
FROM batch LEFT JOIN (
    SELECT item_id, count(*) AS interactions, count(*) FILTER (split = 'train') AS trained
    FROM core.interactions GROUP BY item_id
) USING (item_id)
"""


def suite(facts: Facts) -> Suite:
    """Expectations on a snapshot's items; reads `core.interactions` too."""
    return Suite(
        TABLE,
        ("item_id",),
        [
            row_count(facts.n_kept_items, reason="As many rows as the preparation counted."),
            *contract(TABLE, COLUMNS, optional=("title", "genres")),
            of_snapshot(facts),
            unique("item_id", reason="One row for each item."),
            contiguous("item_id"),
            unique("raw_item_id", reason="Two ids of one movie would split its ratings."),
            in_order_of("item_id", "raw_item_id"),
            *_counts(),
            *([_titled()] if facts.named else []),
        ],
    )


def _titled() -> Expectation:
    return no_rows(
        "title known",
        "SELECT item_id, raw_item_id FROM batch WHERE title IS NULL",
        reason="The movies file does not name it: recommendations show its number.",
        severity="warning",
    )


def _counts() -> list[Expectation]:
    return [
        no_rows(
            "item_id in core.interactions",
            _TOUCHED,
            where="item_id IS NOT NULL AND interactions IS NULL",
            shown="item_id, raw_item_id",
            reason="An item that nobody touched could be ranked, but never be learned.",
        ),
        no_rows(
            "n_train as counted in core.interactions",
            _TOUCHED,
            where="n_train <> trained",
            shown="item_id, n_train, trained AS counted",
            reason="Popularity comes from the training part only.",
        ),
    ]

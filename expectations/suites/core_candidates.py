"""What must be true of `core.candidates`, the negatives that every model ranks."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    Suite,
    contract,
    in_set,
    no_rows,
    of_snapshot,
    row_count,
    unique,
)

TABLE = "core.candidates"
COLUMNS = {
    "snapshot_id": "VARCHAR",
    "split": "VARCHAR",
    "user_id": "INTEGER",
    "item_ids": "INTEGER[]",
}


def suite(facts: Facts) -> Suite:
    """Expectations on the stored draws; reads the snapshot's other tables too."""
    return Suite(
        TABLE,
        ("split", "user_id"),
        [
            row_count(None, reason="Without candidates nobody is evaluated."),
            *contract(TABLE, COLUMNS),
            of_snapshot(facts),
            in_set("split", ["valid", "test"], reason="Nothing is ranked for training rows."),
            unique(
                "split",
                "user_id",
                by="user_id",
                reason="One draw a user, the same for every model.",
            ),
            _users_with_a_held_out_item(),
            *(_any_but_the_answer() if facts.comes_again else _new_to_the_user()),
            *_items(),
        ],
    )


def _users_with_a_held_out_item() -> Expectation:
    return no_rows(
        "a draw for each held-out item, and no other",
        """
        SELECT coalesce(drawn.split, held.split) AS split,
               coalesce(drawn.user_id, held.user_id) AS user_id,
               if(drawn.user_id IS NULL, 'missing', 'not held out') AS problem
        FROM (SELECT split, user_id FROM batch WHERE split IN ('valid', 'test')) AS drawn
        FULL JOIN (
            SELECT split, user_id FROM core.interactions WHERE split IN ('valid', 'test')
        ) AS held ON drawn.split = held.split AND drawn.user_id = held.user_id
        WHERE drawn.user_id IS NULL OR held.user_id IS NULL
        """,
        by="user_id",
        reason="A user without candidates drops out of the metric, and the mean shifts.",
    )


def _items() -> list[Expectation]:
    return [
        no_rows(
            "at least 1 candidate",
            "SELECT split, user_id FROM batch WHERE len(item_ids) = 0",
            reason="A user who has seen everything is always ranked first: no information.",
            severity="warning",
        ),
        no_rows(
            "candidates distinct",
            """
            SELECT split, user_id, item_id, count(*) AS times
            FROM (SELECT split, user_id, unnest(item_ids) AS item_id FROM batch)
            WHERE item_id IS NOT NULL
            GROUP BY split, user_id, item_id HAVING times > 1
            """,
            by="user_id",
            reason="An item twice counts twice in the rank.",
        ),
        no_rows(
            "candidates between 1 and the number of items",
            """
            SELECT split, user_id, list_min(item_ids) AS lowest, list_max(item_ids) AS highest,
                   len(item_ids) - list_count(item_ids) AS nulls
            FROM batch
            WHERE lowest < 1 OR highest > (SELECT count(*) FROM core.items) OR nulls > 0
            """,
            reason="0 is padding, which no model scores high; past the end there is no row.",
        ),
    ]


def _new_to_the_user() -> list[Expectation]:
    return [
        no_rows(
            "100 candidates, or all items outside the history",
            """
            SELECT split, user_id, len(item_ids) AS candidates,
                   least(100, (SELECT count(*) FROM core.items) - n_interactions) AS expected
            FROM batch JOIN core.users USING (user_id)
            WHERE candidates <> expected
            """,
            reason="Fewer candidates make a better rank.",
        ),
        no_rows(
            "no candidate in the user's history",
            """
            SELECT drawn.split, user_id, item_id
            FROM (SELECT split, user_id, unnest(item_ids) AS item_id FROM batch) AS drawn
            SEMI JOIN core.interactions USING (user_id, item_id)
            """,
            by="user_id",
            reason="A negative that the user had, or the answer itself, makes the rank wrong.",
        ),
    ]


def _any_but_the_answer() -> list[Expectation]:
    """Where items come again: what the user has had may be next as well."""
    return [
        no_rows(
            "100 candidates, or all items but the held-out one",
            """
            SELECT split, user_id, len(item_ids) AS candidates,
                   least(100, (SELECT count(*) FROM core.items) - 1) AS expected
            FROM batch WHERE candidates <> expected
            """,
            reason="Fewer candidates make a better rank.",
        ),
        no_rows(
            "held-out item no candidate",
            """
            SELECT drawn.split, user_id, item_id
            FROM (SELECT split, user_id, unnest(item_ids) AS item_id FROM batch) AS drawn
            SEMI JOIN core.interactions USING (split, user_id, item_id)
            """,
            by="user_id",
            reason="The answer among the negatives makes the rank wrong.",
        ),
    ]

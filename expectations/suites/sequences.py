"""What must be true of `core.sequences`, a view over the file that is handed to training."""

from expectations.facts import Facts
from expectations.vocabulary import Expectation, Suite, contract, no_rows, row_count, unique

TABLE = "core.sequences"
COLUMNS = {
    "user_id": "INTEGER",
    "item_ids": "INTEGER[]",
    "timestamps": "BIGINT[]",
    "weeks": "TINYINT[]",
    "n_train": "INTEGER",
    "time_scale": "BIGINT",
    "valid_candidates": "INTEGER[]",
    "test_candidates": "INTEGER[]",
}


def suite(facts: Facts) -> Suite:
    """Expectations on the sequences; reads the snapshot's tables too."""
    return Suite(
        TABLE,
        ("user_id",),
        [
            row_count(facts.n_kept_users, reason="One row a user of the snapshot."),
            *contract(TABLE, COLUMNS),
            unique("user_id", reason="A user twice is trained twice."),
            no_rows(
                "user_id as in core.users",
                """
                SELECT coalesce(batch.user_id, users.user_id) AS user_id,
                       if(batch.user_id IS NULL, 'missing', 'unknown') AS problem
                FROM batch FULL JOIN core.users AS users ON batch.user_id = users.user_id
                WHERE batch.user_id IS NULL OR users.user_id IS NULL
                """,
                reason="The file is all that training sees: nobody lost, nobody invented.",
            ),
            *_shape(),
            *_ranges(),
            *_agreement(),
        ],
    )


def _shape() -> list[Expectation]:
    return [
        no_rows(
            "item_ids, timestamps and weeks of the same length",
            """
            SELECT user_id, len(item_ids) AS items, len(timestamps) AS times,
                   len(weeks) AS week_numbers
            FROM batch WHERE items <> times OR items <> week_numbers
            """,
            reason="They are read side by side.",
        ),
        no_rows(
            "n_train = length - 2, or the length below 3",
            """
            SELECT user_id, n_train, len(item_ids) AS length FROM batch
            WHERE n_train <> if(length < 3, length, length - 2)
            """,
            reason="One too many and the validation item is trained on.",
        ),
    ]


def _ranges() -> list[Expectation]:
    return [
        no_rows(
            "item_ids between 1 and the number of items",
            """
            SELECT user_id, list_min(item_ids) AS lowest, list_max(item_ids) AS highest,
                   len(item_ids) - list_count(item_ids) AS nulls
            FROM batch
            WHERE lowest < 1 OR highest > (SELECT count(*) FROM core.items) OR nulls > 0
            """,
            reason="0 is padding; past the end there is no row of the embedding table.",
        ),
        no_rows(
            "weeks between 1 and 52",
            """
            SELECT user_id, list_min(weeks) AS lowest, list_max(weeks) AS highest,
                   len(weeks) - list_count(weeks) AS nulls
            FROM batch WHERE lowest < 1 OR highest > 52 OR nulls > 0
            """,
            reason="Rows of the week table.",
        ),
        no_rows(
            "timestamps ascending",
            "SELECT user_id FROM batch WHERE timestamps <> list_sort(timestamps)",
            reason="Intervals are differences of neighbours.",
        ),
    ]


def _agreement() -> list[Expectation]:
    return [
        no_rows(
            "histories as in core.interactions",
            """
            SELECT user_id, position, item_id, timestamp, week
            FROM (
                SELECT user_id, CAST(generate_subscripts(item_ids, 1) AS INTEGER) AS position,
                       unnest(item_ids) AS item_id, unnest(timestamps) AS timestamp,
                       unnest(weeks) AS week
                FROM batch
            ) ANTI JOIN core.interactions USING (user_id, position, item_id, timestamp, week)
            UNION ALL
            SELECT user_id, n_interactions, NULL, NULL, NULL
            FROM batch JOIN core.users USING (user_id) WHERE len(item_ids) < n_interactions
            """,
            reason="What people query in SQL is what the models were trained on.",
        ),
        no_rows(
            "time_scale as in core.users",
            """
            SELECT user_id, batch.time_scale, users.time_scale AS stored
            FROM batch JOIN core.users AS users USING (user_id)
            WHERE batch.time_scale <> stored
            """,
            reason="The table's was recomputed; the file's is used.",
        ),
        *(_candidates(split) for split in ("valid", "test")),
    ]


def _candidates(split: str) -> Expectation:
    return no_rows(
        f"{split}_candidates as in core.candidates",
        f"""
        SELECT user_id, len({split}_candidates) AS candidates, len(item_ids) AS stored
        FROM (SELECT user_id, {split}_candidates FROM batch)
        LEFT JOIN (SELECT user_id, item_ids FROM core.candidates WHERE split = '{split}')
            USING (user_id)
        WHERE {split}_candidates <> coalesce(item_ids, [])
        """,
        reason="Every model ranks the same stored draw.",
    )

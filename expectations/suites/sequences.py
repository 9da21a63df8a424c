"""What must be true of `core.sequences`, a view over the file that is handed to training."""

from expectations.facts import Facts
from expectations.vocabulary import Expectation, Suite, contract, no_rows, row_count, unique

TABLE = "core.sequences"
COLUMNS = {
    "user_id": "INTEGER",
    "item_ids": "INTEGER[]",
    "timestamps": "BIGINT[]",
    "weeks": "TINYINT[]",
    "ratings": "TINYINT[]",
    "n_train": "INTEGER",
    "time_scale": "BIGINT",
    "valid_candidates": "INTEGER[]",
    "test_candidates": "INTEGER[]",
}
_LISTS = """
SELECT *, len(item_ids) AS items, len(timestamps) AS times, len(weeks) AS week_numbers,
       len(ratings) AS half_stars, (SELECT count(*) FROM core.items) AS n_items
FROM batch
"""


_RATING_GIVEN = {False: "unnest(ratings) / 2", True: "unnest(ratings)"}


def _rated_interactions(facts: Facts) -> str:
    """`core.interactions` with ratings as the file must have them, own ones as half stars."""
    if not facts.own:
        return "core.interactions"
    low, high = facts.rating_min, facts.rating_max
    stretched = f"floor((1 + 9 * (CAST(rating AS DOUBLE) - {low}) / ({high} - {low})) + 0.5)"
    given = f"least(greatest(CAST({stretched} AS TINYINT), 1), 10)" if facts.rated else "NULL"
    return f"(SELECT * REPLACE (coalesce({given}, 0) AS rating) FROM core.interactions)"


def suite(facts: Facts) -> Suite:
    """Expectations on the sequences; reads the snapshot's tables and `core.sequence_genres` too."""
    return Suite(
        TABLE,
        ("user_id",),
        [
            row_count(facts.n_kept_users, reason="One row for each user of the snapshot."),
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
            *_ranges(facts),
            *_agreement(facts),
        ],
    )


def _shape() -> list[Expectation]:
    return [
        no_rows(
            "item_ids, timestamps, weeks and ratings of the same length",
            _LISTS,
            by="user_id",
            where="items <> times OR items <> week_numbers OR items <> half_stars",
            shown="user_id, items, times, week_numbers, half_stars",
            reason="They are read side by side.",
        ),
        no_rows(
            "n_train = length - 2, or the length below 3",
            _LISTS,
            by="user_id",
            where="n_train <> if(items < 3, items, items - 2)",
            shown="user_id, n_train, items AS length",
            reason="One too many and the validation item is trained on.",
        ),
    ]


def _ranges(facts: Facts) -> list[Expectation]:
    return [
        _within(
            "item_ids",
            "the number of items",
            "n_items",
            "0 is padding; past the end there is no row of the embedding table.",
        ),
        _within("weeks", "52", "52", "Rows of the week table."),
        _within(
            "ratings",
            "10",
            "10",
            "Rows of the rating table: half stars; 0 says unknown.",
            low=1 if facts.rated else 0,
        ),
        no_rows(
            "timestamps ascending",
            _LISTS,
            by="user_id",
            where="timestamps <> list_sort(timestamps)",
            shown="user_id",
            reason="Intervals are differences of neighbours.",
        ),
    ]


def _within(column: str, words: str, limit: str, reason: str, low: int = 1) -> Expectation:
    nulls = f"len({column}) - list_count({column})"
    return no_rows(
        f"{column} between {low} and {words}",
        _LISTS,
        by="user_id",
        where=f"list_min({column}) < {low} OR list_max({column}) > {limit} OR {nulls} > 0",
        shown=f"user_id, list_min({column}) AS lowest, list_max({column}) AS highest, "
        f"{nulls} AS nulls",
        reason=reason,
    )


def _agreement(facts: Facts) -> list[Expectation]:
    return [
        no_rows(
            "histories as in core.interactions",
            f"""
            SELECT user_id, position, item_id, timestamp, week, rating
            FROM (
                SELECT user_id, CAST(generate_subscripts(item_ids, 1) AS INTEGER) AS position,
                       unnest(item_ids) AS item_id, unnest(timestamps) AS timestamp,
                       unnest(weeks) AS week, {_RATING_GIVEN[facts.own]} AS rating
                FROM batch
            )
            ANTI JOIN {_rated_interactions(facts)}
                USING (user_id, position, item_id, timestamp, week, rating)
            UNION ALL
            SELECT user_id, n_interactions, NULL, NULL, NULL, NULL
            FROM batch JOIN core.users USING (user_id) WHERE len(item_ids) < n_interactions
            """,
            by="user_id",
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
        no_rows(
            "genres as in core.items",
            """
            SELECT item_id, said.genres AS said, known.genres AS stored
            FROM core.sequence_genres AS said
            FULL JOIN (SELECT item_id, string_split(genres, '|') AS genres
                       FROM core.items WHERE genres <> '') AS known USING (item_id)
            WHERE list_sort(said.genres) IS DISTINCT FROM
                  list_sort(list_filter(list_distinct(known.genres), lambda name: name <> ''))
            """,
            reason="A model with genre_width learns from the file's.",
        ),
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
        by="user_id",
        reason="Every model ranks the same stored draw.",
    )

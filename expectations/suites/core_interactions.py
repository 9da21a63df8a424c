"""What must be true of `core.interactions`: order, split, retention and time features."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    Suite,
    between,
    contract,
    in_set,
    no_rows,
    on_step,
    row_count,
    unique,
)

TABLE = "core.interactions"
COLUMNS = {
    "snapshot_id": "VARCHAR",
    "user_id": "INTEGER",
    "item_id": "INTEGER",
    "rating": "FLOAT",
    "timestamp": "BIGINT",
    "position": "INTEGER",
    "split": "VARCHAR",
    "scaled_interval": "BIGINT",
    "week": "TINYINT",
}


def suite(facts: Facts) -> Suite:
    """Expectations on a staged snapshot; reads `core.items` and `core.users` too."""
    return Suite(
        TABLE,
        ("user_id", "position"),
        [
            row_count(facts.n_interactions, reason="As many as the preparation says it kept."),
            *contract(TABLE, COLUMNS, optional=("scaled_interval",)),
            *_values(facts),
            *_order(),
            *_split(),
            *_retention(facts.retention),
            *_time_features(),
        ],
    )


def _values(facts: Facts) -> list[Expectation]:
    return [
        in_set(
            "snapshot_id",
            [facts.snapshot_id],
            reason="Staging holds one snapshot; rows of another are a mix.",
        ),
        _known("user_id", "core.users"),
        _known("item_id", "core.items"),
        between(
            "rating",
            facts.rating_min,
            facts.rating_max,
            reason="The preparation does not touch stars: they are still on the scale.",
        ),
        on_step("rating", facts.rating_step, reason="No cast has rounded a half star."),
        between(
            "timestamp",
            facts.timestamp_min,
            facts.timestamp_max,
            reason="Still seconds since 1970, after every join and cast.",
        ),
    ]


def _known(column: str, other: str) -> Expectation:
    return no_rows(
        f"{column} in {other}",
        f"""
        SELECT user_id, position, {column} FROM batch ANTI JOIN {other} USING ({column})
        WHERE {column} IS NOT NULL
        """,
        reason="Ids there are contiguous; any other would index past an embedding table.",
    )


def _order() -> list[Expectation]:
    return [
        unique("user_id", "position", reason="Two rows in one place have no order."),
        no_rows(
            "position from 1 without a gap for each user",
            """
            SELECT user_id, min(position) AS lowest, max(position) AS highest,
                   count(*) AS places
            FROM batch GROUP BY user_id
            HAVING lowest <> 1 OR highest <> places
            """,
            reason="Position is the place in the history: a gap is a lost interaction.",
        ),
        no_rows(
            "timestamp ascending with position",
            """
            SELECT * FROM (
                SELECT user_id, position, timestamp,
                       lag(timestamp) OVER (PARTITION BY user_id ORDER BY position) AS before
                FROM batch
            ) WHERE timestamp < before
            """,
            reason="Out of order, the model is asked for the past and trained on the future.",
        ),
        unique(
            "user_id",
            "item_id",
            reason="A held-out item that also stands in the training part is given away.",
        ),
    ]


def _split() -> list[Expectation]:
    return [
        in_set("split", ["train", "valid", "test"], reason="There is no fourth part."),
        no_rows(
            "one valid and one test for users with 3 interactions or more, else none",
            """
            SELECT user_id, count(*) AS interactions,
                   count(*) FILTER (split = 'valid') AS valid,
                   count(*) FILTER (split = 'test') AS test
            FROM batch GROUP BY user_id
            HAVING valid <> CAST(interactions >= 3 AS INTEGER)
                OR test <> CAST(interactions >= 3 AS INTEGER)
            """,
            reason="Leave-one-out: each user counts once in every metric.",
        ),
        _last_but("test", 0),
        _last_but("valid", 1),
    ]


def _last_but(split: str, after: int) -> Expectation:
    """Rows of a split have this many rows of their user after them."""
    place = "last" if after == 0 else "last but one"
    return no_rows(
        f"{split} is the {place} position",
        f"""
        SELECT user_id, max(position) FILTER (split = '{split}') AS held_out,
               max(position) AS last_position
        FROM batch GROUP BY user_id
        HAVING held_out <> last_position - {after}
        """,
        reason="What comes after a held-out item must not be in what the model has seen.",
    )


def _retention(retention: str) -> list[Expectation]:
    if retention != "5-core":
        return []
    return [
        no_rows(
            f"5 interactions or more for each {column}",
            f"""
            SELECT {column}, count(*) AS interactions FROM batch GROUP BY {column}
            HAVING interactions < 5
            """,
            reason="5-core is a fixed point: what is left still satisfies it.",
        )
        for column in ("user_id", "item_id")
    ]


def _time_features() -> list[Expectation]:
    return [
        between("week", 1, 52, reason="Rows of the week table; week 53 counts as 52."),
        no_rows(
            "week is the ISO week in UTC",
            """
            SELECT user_id, position, timestamp, week,
                   least(weekofyear(make_timestamp(timestamp * 1000000)), 52) AS recomputed
            FROM batch
            WHERE week BETWEEN 1 AND 52 AND week <> recomputed
            """,
            reason="A local time zone shifts what is near a week's end.",
        ),
        no_rows(
            "scaled_interval = floor(gap / time_scale), null for the first",
            """
            SELECT user_id, position, gap, time_scale, scaled_interval
            FROM (
                SELECT user_id, position, scaled_interval,
                       timestamp - lag(timestamp) OVER (
                           PARTITION BY user_id ORDER BY position
                       ) AS gap
                FROM batch
            ) JOIN core.users USING (user_id)
            WHERE coalesce(gap, 0) >= 0
              AND scaled_interval IS DISTINCT FROM gap // nullif(time_scale, 0)
            """,
            reason="Intervals are counted in the user's own pace (TiSASRec, section 3.2).",
        ),
    ]

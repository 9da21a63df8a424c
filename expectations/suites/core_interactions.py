"""What must be true of `core.interactions`: order, split, retention and time features."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    Suite,
    between,
    contract,
    in_set,
    no_rows,
    of_snapshot,
    on_scale,
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
# Checks of the same query are counted together: one window and one grouping for all of them.
_PLACES = """
FROM (
    SELECT user_id, item_id, position, timestamp, scaled_interval,
           lag(position) OVER history AS position_before,
           lag(timestamp) OVER history AS timestamp_before,
           timestamp - timestamp_before AS gap
    FROM batch WINDOW history AS (PARTITION BY user_id ORDER BY position, timestamp)
)
LEFT JOIN (SELECT user_id, user_id AS known_user, time_scale FROM core.users) USING (user_id)
LEFT JOIN (SELECT item_id, item_id AS known_item FROM core.items) USING (item_id)
"""
_USERS = """
SELECT user_id, count(*) AS interactions, min(position) AS lowest, max(position) AS highest,
       count(*) FILTER (split = 'valid') AS valid, count(*) FILTER (split = 'test') AS test,
       max(position) FILTER (split = 'valid') AS valid_position,
       max(position) FILTER (split = 'test') AS test_position
FROM batch GROUP BY user_id
"""
_STARS = "The preparation does not touch stars: they are still on the scale."
_STEPS = "No cast has rounded a half star."
_ITEMS = "SELECT item_id, count(*) AS interactions FROM batch GROUP BY item_id"


def suite(facts: Facts) -> Suite:
    """Expectations on a staged snapshot; reads `core.items` and `core.users` too."""
    return Suite(
        TABLE,
        ("user_id", "position"),
        [
            row_count(facts.n_interactions, reason="As many rows as the preparation counted."),
            *contract(
                TABLE, COLUMNS, optional=("scaled_interval", *([] if facts.rated else ["rating"]))
            ),
            *_values(facts),
            *_order(),
            _again() if facts.comes_again else _once(),
            *_split(),
            *_retention(facts.retention),
            *_time_features(),
        ],
    )


def _values(facts: Facts) -> list[Expectation]:
    return [
        of_snapshot(facts),
        _known("user_id", "core.users", "known_user"),
        _known("item_id", "core.items", "known_item"),
        *(on_scale(facts, reason=_STARS, step_reason=_STEPS) if facts.rated else []),
        between(
            "timestamp",
            facts.timestamp_min,
            facts.timestamp_max,
            reason="Still seconds since 1970, after every join and cast.",
        ),
    ]


def _known(column: str, other: str, known: str) -> Expectation:
    return no_rows(
        f"{column} in {other}",
        _PLACES,
        by="user_id",
        where=f"{column} IS NOT NULL AND {known} IS NULL",
        shown=f"user_id, position, {column}",
        reason="Ids there are contiguous; any other would index past an embedding table.",
    )


def _order() -> list[Expectation]:
    return [
        no_rows(
            "(user_id, position) unique",
            _PLACES,
            by="user_id",
            where="position = position_before",
            shown="user_id, position",
            reason="Two rows in one place have no order.",
        ),
        no_rows(
            "position from 1 without a gap for each user",
            _USERS,
            by="user_id",
            where="lowest <> 1 OR highest <> interactions",
            shown="user_id, lowest, highest, interactions",
            reason="Position is the place in the history: a gap is a lost interaction.",
        ),
        no_rows(
            "timestamp ascending with position",
            _PLACES,
            by="user_id",
            where="gap < 0",
            shown="user_id, position, timestamp, timestamp_before",
            reason="Out of order, the model is asked for the past and trained on the future.",
        ),
    ]


def _once() -> Expectation:
    return unique(
        "user_id",
        "item_id",
        by="user_id",
        reason="A held-out item that also stands in the training part is given away.",
    )


def _again() -> Expectation:
    """Where items come again, it is the held-out interaction that nobody may have seen."""
    return no_rows(
        "held-out item new to its user",
        """
        SELECT held.split, held.user_id, held.item_id
        FROM batch AS held
        SEMI JOIN batch AS before
            ON before.user_id = held.user_id AND before.item_id = held.item_id
                AND before.position < held.position
        WHERE held.split <> 'train'
        """,
        by="user_id",
        reason="All repeats are kept: so many of those to be predicted are taken again.",
        severity="info",
    )


def _split() -> list[Expectation]:
    return [
        in_set("split", ["train", "valid", "test"], reason="There is no fourth part."),
        no_rows(
            "one valid and one test for users with 3 interactions or more, else none",
            _USERS,
            by="user_id",
            where="valid <> CAST(interactions >= 3 AS INTEGER) OR test <> valid",
            shown="user_id, interactions, valid, test",
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
        _USERS,
        by="user_id",
        where=f"{split}_position <> highest - {after}",
        shown=f"user_id, {split}_position, highest AS last_position",
        reason="What comes after a held-out item must not be in what the model has seen.",
    )


def _retention(retention: str) -> list[Expectation]:
    if retention != "5-core":
        return []
    return [
        no_rows(
            f"5 interactions or more for each {column}",
            query,
            by=by,
            where="interactions < 5",
            shown=f"{column}, interactions",
            reason="5-core is a fixed point: what is left still satisfies it.",
        )
        for column, query, by in (("user_id", _USERS, "user_id"), ("item_id", _ITEMS, ""))
    ]


def _time_features() -> list[Expectation]:
    return [
        between("week", 1, 52, reason="Rows of the week table; week 53 counts as 52."),
        no_rows(
            "week is the ISO week in UTC",
            "FROM batch",
            where="week BETWEEN 1 AND 52"
            " AND week <> least(weekofyear(make_timestamp(timestamp * 1000000)), 52)",
            shown="user_id, position, timestamp, week",
            reason="A local time zone shifts what is near a week's end.",
        ),
        no_rows(
            "scaled_interval = floor(gap / time_scale), null for the first",
            _PLACES,
            by="user_id",
            where="known_user IS NOT NULL AND coalesce(gap, 0) >= 0"
            " AND scaled_interval IS DISTINCT FROM gap // nullif(time_scale, 0)",
            shown="user_id, position, gap, time_scale, scaled_interval",
            reason="Intervals are counted in the user's own pace (TiSASRec, section 3.2).",
        ),
    ]

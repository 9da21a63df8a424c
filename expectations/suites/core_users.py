"""What must be true of `core.users`."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    Suite,
    between,
    contiguous,
    contract,
    in_order_of,
    no_rows,
    of_snapshot,
    row_count,
    unique,
)

TABLE = "core.users"
COLUMNS = {
    "snapshot_id": "VARCHAR",
    "user_id": "INTEGER",
    "raw_user_id": "BIGINT",
    "n_interactions": "BIGINT",
    "n_train": "BIGINT",
    "time_scale": "BIGINT",
}
_HISTORIES = """
SELECT batch.*, coalesce(interactions, 0) AS interactions, coalesce(trained, 0) AS trained
FROM batch LEFT JOIN (
    SELECT user_id, count(*) AS interactions, count(*) FILTER (split = 'train') AS trained
    FROM core.interactions GROUP BY user_id
) USING (user_id)
"""


def suite(facts: Facts) -> Suite:
    """Expectations on a snapshot's users; reads `core.interactions` too."""
    return Suite(
        TABLE,
        ("user_id",),
        [
            row_count(facts.n_kept_users, reason="As many rows as the preparation counted."),
            *contract(TABLE, COLUMNS),
            of_snapshot(facts),
            unique("user_id", reason="One row for each user."),
            contiguous("user_id"),
            unique("raw_user_id", reason="Two ids of one user would cut the history in two."),
            in_order_of("user_id", "raw_user_id"),
            *_counts(),
            *_time_scale(),
        ],
    )


def _counts() -> list[Expectation]:
    return [
        no_rows(
            f"{column} as counted in core.interactions",
            _HISTORIES,
            by="user_id",
            where=f"{column} <> {counted}",
            shown=f"user_id, {column}, {counted} AS counted",
            reason=reason,
        )
        for column, counted, reason in (
            ("n_interactions", "interactions", "Slices by history length rest on it."),
            ("n_train", "trained", "It says where the training part of a history ends."),
        )
    ]


def _time_scale() -> list[Expectation]:
    return [
        between("time_scale", 1, None, reason="Intervals are divided by it."),
        no_rows(
            "time_scale = shortest non-zero gap of the training part, else 1",
            # neighbours by a join, which takes less than a sort
            """
            SELECT user_id, time_scale, coalesce(shortest, 1) AS recomputed
            FROM batch JOIN (SELECT DISTINCT user_id FROM core.interactions) USING (user_id)
            LEFT JOIN (
                SELECT user_id, min(after.timestamp - before.timestamp) AS shortest
                FROM core.interactions AS after JOIN core.interactions AS before USING (user_id)
                WHERE before.position = after.position - 1 AND before.timestamp < after.timestamp
                  AND before.split = 'train' AND after.split = 'train'
                GROUP BY user_id
            ) USING (user_id)
            WHERE time_scale >= 1 AND time_scale <> recomputed
            """,
            by="user_id",
            reason="With the held-out items in it, it would give away when they came.",
        ),
    ]

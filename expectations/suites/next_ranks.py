"""What must be true of `mart.next_ranks` before they are published."""

from expectations.facts import Facts
from expectations.suspicions import suspicions
from expectations.vocabulary import (
    Expectation,
    Suite,
    between,
    contract,
    exactly_set,
    in_set,
    no_rows,
    row_count,
    unique,
)

TABLE = "mart.next_ranks"
COLUMNS = {
    "run_id": "VARCHAR",
    "protocol": "VARCHAR",
    "user_id": "INTEGER",
    "rank": "FLOAT",
    "n_candidates": "INTEGER",
}
KEY = ("run_id", "protocol", "user_id")
_CAME_NEXT = """
SELECT 'next' AS split, user_id, item_id FROM mart.next_targets WHERE item_id IS NOT NULL
"""


def suite(facts: Facts) -> Suite:
    """Expectations on ranks; reads `mart.next_targets`, `core`: users, items, ahead."""
    return Suite(
        TABLE,
        KEY,
        [
            row_count(None, reason="A run without ranks has no metrics."),
            *contract(TABLE, COLUMNS),
            exactly_set("run_id", facts.run_ids, reason="The trainings under audit and no others."),
            in_set("protocol", ["uniform_100", "full"], reason="There are two protocols."),
            unique(*KEY, reason="A rank counted twice shifts every mean."),
            between("rank", 1, None, reason="The best place is 1."),
            no_rows(
                "rank at most n_candidates",
                "SELECT * FROM batch WHERE rank > n_candidates",
                reason="There is no place after the last. NaN is greater than all, so it fails.",
            ),
            no_rows(
                "a rank for each run, protocol and known target, and no other",
                """
                WITH expected AS (
                    SELECT run_id, protocol, user_id
                    FROM (SELECT DISTINCT run_id FROM batch)
                    CROSS JOIN (VALUES ('uniform_100'), ('full')) AS protocols (protocol)
                    CROSS JOIN (SELECT user_id FROM mart.next_targets WHERE item_id IS NOT NULL)
                )
                SELECT *, 'missing' AS problem
                FROM expected ANTI JOIN batch USING (run_id, protocol, user_id)
                UNION ALL
                SELECT run_id, protocol, user_id, 'no target' AS problem
                FROM batch ANTI JOIN expected USING (run_id, protocol, user_id)
                """,
                reason="Means over different users cannot be compared.",
            ),
            _every_item() if facts.comes_again else _every_new_item(),
            no_rows(
                "n_candidates of uniform_100 = drawn candidates + 1",
                """
                SELECT run_id, user_id, n_candidates, len(test_candidates) + 1 AS expected
                FROM batch JOIN core.ahead USING (user_id)
                WHERE protocol = 'uniform_100' AND n_candidates <> expected
                """,
                reason="Ranked against fewer than were drawn, the rank is too good.",
            ),
            *suspicions("SELECT *, 'next' AS split FROM batch", _CAME_NEXT),
        ],
    )


def _every_new_item() -> Expectation:
    return no_rows(
        "n_candidates of full = items - history",
        """
        SELECT run_id, user_id, n_candidates,
               (SELECT count(*) FROM core.items) - n_interactions AS expected
        FROM batch JOIN core.users USING (user_id)
        WHERE protocol = 'full' AND n_candidates <> expected
        """,
        reason="Every item that the user has not had is ranked.",
    )


def _every_item() -> Expectation:
    """Where items come again."""
    return no_rows(
        "n_candidates of full = items",
        """
        SELECT run_id, user_id, n_candidates, (SELECT count(*) FROM core.items) AS expected
        FROM batch WHERE protocol = 'full' AND n_candidates <> expected
        """,
        reason="Every item is ranked: what the user has had may come again.",
    )

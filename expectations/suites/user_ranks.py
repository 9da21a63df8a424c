"""What must be true of `mart.user_ranks` before they are published."""

from collections.abc import Sequence

from expectations.facts import Facts
from expectations.suspicions import FIRST, suspicions
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

TABLE = "mart.user_ranks"
COLUMNS = {
    "run_id": "VARCHAR",
    "split": "VARCHAR",
    "protocol": "VARCHAR",
    "user_id": "INTEGER",
    "rank": "FLOAT",
    "n_candidates": "INTEGER",
}
KEY = ("run_id", "split", "protocol", "user_id")
_HELD_OUT = "SELECT split, user_id, item_id FROM core.interactions WHERE split <> 'train'"


def suite(facts: Facts) -> Suite:
    """Expectations on ranks; reads `core`: users, items, candidates, held-out interactions."""
    return Suite(
        TABLE,
        KEY,
        [
            row_count(None, reason="A run without ranks has no metrics."),
            *contract(TABLE, COLUMNS),
            exactly_set(
                "run_id",
                facts.run_ids,
                reason="The ranks of the trainings under audit, all of them and no others.",
            ),
            in_set("split", list(facts.splits), reason="Training rows have no rank."),
            in_set("protocol", list(facts.protocols), reason="There are two protocols."),
            unique(*KEY, reason="A rank counted twice shifts every mean."),
            _complete(facts),
            _known_targets(),
            *_ranks(facts),
            *_candidate_counts(facts),
            *suspicions(_with_places(facts), _HELD_OUT),
        ],
    )


def _with_places(facts: Facts) -> str:
    """Ranks that are not known stand behind those that are, and behind the first places."""
    if facts.known_to is None:
        return "FROM batch"
    place = max(facts.known_to, FIRST) + 1
    return (
        f"SELECT * REPLACE (CASE WHEN isinf(rank) THEN least({place}, n_candidates) ELSE rank END"
        " AS rank) FROM batch"
    )


def _complete(facts: Facts) -> Expectation:
    splits, protocols = (_values(names) for names in (facts.splits, facts.protocols))
    return no_rows(
        "a rank for each run, split, protocol and user with a held-out item, and no other",
        f"""
        WITH held_out AS (SELECT user_id FROM core.users WHERE n_interactions >= 3),
        expected AS (
            SELECT run_id, split, protocol, user_id
            FROM (SELECT DISTINCT run_id FROM batch)
            CROSS JOIN (VALUES {splits}) AS splits (split)
            CROSS JOIN (VALUES {protocols}) AS protocols (protocol)
            CROSS JOIN held_out
        )
        SELECT run_id, split, protocol, user_id, 'missing' AS problem
        FROM expected ANTI JOIN batch USING (run_id, split, protocol, user_id)
        UNION ALL
        SELECT run_id, split, protocol, user_id, 'not held out' AS problem
        FROM batch ANTI JOIN held_out USING (user_id) WHERE user_id IS NOT NULL
        """,
        reason="Means over different users cannot be compared.",
    )


def _values(names: Sequence[str]) -> str:
    """Rows of one text each."""
    return ", ".join(f"('{name}')" for name in names)


def _known_targets() -> Expectation:
    return no_rows(
        "held-out item of each rank known",
        f"""
        SELECT DISTINCT split, user_id
        FROM batch ANTI JOIN ({_HELD_OUT} AND item_id IN (SELECT item_id FROM core.items))
            USING (split, user_id)
        WHERE split IN ('valid', 'test') AND user_id IS NOT NULL
        """,
        reason="Figures by an item's popularity would leave them out.",
    )


def _ranks(facts: Facts) -> list[Expectation]:
    unknown = "" if facts.known_to is None else " AND rank <> 'inf'"
    return [
        between("rank", 1, None, reason="The best place is 1."),
        no_rows(
            "rank at most n_candidates",
            f"SELECT * FROM batch WHERE rank > n_candidates{unknown}",
            reason="There is no place after the last. NaN is greater than all, so it fails too.",
        ),
        no_rows(
            "rank a multiple of 0.5",
            "SELECT * FROM batch WHERE isfinite(rank) AND rank * 2 <> round(rank * 2)",
            reason="1 + candidates above + half of the ties has no other fractions.",
        ),
    ]


def _candidate_counts(facts: Facts) -> list[Expectation]:
    return [
        no_rows(
            "n_candidates of uniform_100 = stored candidates + 1",
            """
            SELECT run_id, split, user_id, n_candidates, len(item_ids) + 1 AS expected
            FROM batch JOIN core.candidates USING (split, user_id)
            WHERE protocol = 'uniform_100' AND n_candidates <> expected
            """,
            reason="Ranked against fewer than were stored, the rank is too good.",
        ),
        _every_item() if facts.comes_again else _every_new_item(),
    ]


def _every_new_item() -> Expectation:
    return no_rows(
        "n_candidates of full = items - history + 1",
        """
        SELECT run_id, split, user_id, n_candidates,
               (SELECT count(*) FROM core.items) - n_interactions + 1 AS expected
        FROM batch JOIN core.users USING (user_id)
        WHERE protocol = 'full' AND n_candidates <> expected
        """,
        reason="Every item but the user's other ones is ranked.",
    )


def _every_item() -> Expectation:
    """Where items come again."""
    return no_rows(
        "n_candidates of full = items",
        """
        SELECT run_id, split, user_id, n_candidates,
               (SELECT count(*) FROM core.items) AS expected
        FROM batch WHERE protocol = 'full' AND n_candidates <> expected
        """,
        reason="Every item is ranked: what the user has had may come again.",
    )

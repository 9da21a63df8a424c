"""What must be true of `mart.user_ranks` before they are published."""

from expectations.facts import Facts
from expectations.ranks import columns_of, rank_checks, rows_of
from expectations.suspicions import FIRST, suspicions
from expectations.vocabulary import Expectation, Suite, in_set, no_rows

TABLE = "mart.user_ranks"
KEY = ("run_id", "split", "protocol", "user_id")
COLUMNS = columns_of(KEY)
_HELD_OUT = "SELECT split, user_id, item_id FROM core.interactions WHERE split <> 'train'"


def suite(facts: Facts) -> Suite:
    """Expectations on ranks; reads `core`: users, items, candidates, held-out interactions."""
    targets = f"""
        SELECT split, user_id FROM core.users
        CROSS JOIN (VALUES {rows_of(facts.splits)}) AS splits (split) WHERE n_interactions >= 3
    """
    return Suite(
        TABLE,
        KEY,
        [
            *rank_checks(TABLE, KEY, targets, "FROM core.candidates", facts, held_out=1),
            in_set("split", list(facts.splits), reason="Training rows have no rank."),
            _known_targets(),
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

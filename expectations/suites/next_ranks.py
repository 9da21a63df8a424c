"""What must be true of `mart.next_ranks` before they are published."""

from expectations.facts import Facts
from expectations.ranks import columns_of, rank_checks
from expectations.suspicions import suspicions
from expectations.vocabulary import Suite

TABLE = "mart.next_ranks"
KEY = ("run_id", "protocol", "user_id")
COLUMNS = columns_of(KEY)
_CAME_NEXT = """
SELECT 'next' AS split, user_id, item_id FROM mart.next_targets WHERE item_id IS NOT NULL
"""


def suite(facts: Facts) -> Suite:
    """Expectations on ranks; reads `mart.next_targets`, `core`: users, items, ahead."""
    targets = "SELECT user_id FROM mart.next_targets WHERE item_id IS NOT NULL"
    drawn = "SELECT user_id, test_candidates AS item_ids FROM core.ahead"
    return Suite(
        TABLE,
        KEY,
        [
            *rank_checks(TABLE, KEY, targets, drawn, facts, held_out=0),
            *suspicions("SELECT *, 'next' AS split FROM batch", _CAME_NEXT),
        ],
    )

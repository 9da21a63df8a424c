"""What must be true of `raw.user_keys`: the ids of own data's users, and their numbers."""

from expectations.facts import Facts
from expectations.keys import keys
from expectations.vocabulary import Suite

TABLE = "raw.user_keys"
COLUMNS = {"load_id": "VARCHAR", "raw_user_id": "BIGINT", "user_key": "VARCHAR"}


def suite(facts: Facts) -> Suite:
    """Expectations on the staged numbers; reads `raw.ratings` too."""
    return keys(facts, TABLE, COLUMNS)

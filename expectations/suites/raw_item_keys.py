"""What must be true of `raw.item_keys`: the ids of own data's items, and their numbers."""

from expectations.facts import Facts
from expectations.keys import keys
from expectations.vocabulary import Suite

TABLE = "raw.item_keys"
COLUMNS = {"load_id": "VARCHAR", "raw_item_id": "BIGINT", "item_key": "VARCHAR"}


def suite(facts: Facts) -> Suite:
    """Expectations on the staged numbers; reads `raw.ratings` too."""
    return keys(facts, TABLE, COLUMNS)

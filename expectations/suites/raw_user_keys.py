"""What must be true of `raw.user_keys`: the ids of own data and the numbers that stand for them."""

from expectations.facts import Facts
from expectations.suites.keys import keys
from expectations.vocabulary import Suite


def suite(facts: Facts) -> Suite:
    """Expectations on the staged numbers; reads `raw.ratings` too."""
    return keys(facts, "user")

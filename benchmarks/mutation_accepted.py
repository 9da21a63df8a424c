"""Mutants that no test can see, and why: they compute the same, or what differs is no promise."""

RANKS, USERS = "warehouse/sql/figures/ranks.sql", "warehouse/sql/figures/users.sql"
JOINED = "JOIN core.{0}s AS {0}s ON {0}s.snapshot_id = $1 AND {0}s.{0}_id = held.{0}_id"
NO_PART = "ranks of a split and protocol that was not asked for get no part, and no part takes them"
ALL_KNOWN = "audits stop a snapshot with an interaction whose user or item it does not have"
SPLIT = "expectations/suites/core_interactions.py"
WHERE = 'where="{} <> CAST(interactions >= 3 AS INTEGER) OR test <> valid",'
SAME = "of two numbers that must be equal, either may be compared with what both should be"
GAP = 'where="known_user IS NOT NULL AND coalesce(gap, {}) >= 0"'
FIRST = "a first row has no gap and is looked at all the same: neither number is below 0"
PAST_ALL = "either is past all times, and both are numbers of 64 bits"

# (file, lines before, lines after): why
ACCEPTED: dict[tuple[str, str, str], str] = {
    (RANKS, "JOIN ( SELECT", "LEFT JOIN ( SELECT"): NO_PART,
    (USERS, JOINED.format("user"), f"LEFT {JOINED.format('user')}"): ALL_KNOWN,
    ("warehouse/transforms/options.py", "return 2**62", "return 2**(61)"): PAST_ALL,
    (USERS, JOINED.format("item"), f"LEFT {JOINED.format('item')}"): ALL_KNOWN,
    (SPLIT, WHERE.format("valid"), WHERE.format("test")): SAME,
    (SPLIT, GAP.format(0), GAP.format(1)): FIRST,
}

"""One file a suite; each has `suite(facts)`. Names only here: the files import what is heavy."""

RAW = ("raw_ratings", "raw_items", "raw_users", "raw_rejects")
CORE = ("core_interactions", "core_items", "core_users", "core_candidates", "sequences")
RANKS = ("user_ranks", "top_lists")
AHEAD = ("next_targets", "next_sequences", "next_ranks")
ALL = RAW + CORE + RANKS + AHEAD

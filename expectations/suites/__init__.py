"""One file a suite; each has `suite(facts)`. Names only here: the files import what is heavy."""

RAW = ("raw_ratings", "raw_items", "raw_users", "raw_rejects")
OWN = ("raw_user_keys", "raw_item_keys")  # of own data besides
CORE = ("core_interactions", "core_items", "core_users", "core_candidates", "sequences")
RANKS = ("user_ranks",)
LISTS = ("top_lists",)
NEXT = ("next_targets", "next_sequences", "next_ranks")
ALL = RAW + OWN + CORE + RANKS + LISTS + NEXT

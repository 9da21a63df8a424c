"""Mutants that no test can see, and why: they compute the same, or what differs is no promise."""

# (file, lines before, lines after): why
ACCEPTED: dict[tuple[str, str, str], str] = {
    (
        "warehouse/sql/figures/ranks.sql",
        "JOIN ( SELECT",
        "LEFT JOIN ( SELECT",
    ): "ranks of a split and protocol that was not asked for get no part, and no part takes them",
}

"""Mutants that no test can see, and why: they compute the same, or what differs is no promise."""

# (file, lines before, lines after): why
ACCEPTED: dict[tuple[str, str, str], str] = {}

"""Large tables in ranges of a column: what a query of each sees, and what all of them see together.

Files are ordered by user, so of a range only its own rows are read.
"""

import re

# Tables whose rows are cut, where a query names them; others are small, and seen whole.
CUT = re.compile(r"\b(core|raw)\.(interactions|users|candidates|sequences|ratings)\b")


def ranges(column: str, low: int | None, high: int | None, parts: int) -> list[str]:
    """Conditions of which each row meets one, whatever it has in the column; `low` to `high` even.

    >>> ranges("id", 1, 90, 3)
    ['id IS NULL', 'id < 31', 'id >= 31 AND id < 61', 'id >= 61']
    >>> ranges("id", 1, 90, 1)
    ['']
    """
    if parts < 2 or low is None or high is None:
        return [""]
    inner = [low + (high - low + 1) * part // parts for part in range(1, parts)]
    below = [f"{column} < {end}" for end in inner]
    above = [f"{column} >= {end}" for end in inner]
    between = [" AND ".join(both) for both in zip(above[:-1], below[1:], strict=True)]
    return [f"{column} IS NULL", below[0], *between, above[-1]]


def within(condition: str, table: str, query: str) -> tuple[str, str]:
    """A query as one of the rows that meet a condition: the tables that it needs, and itself.

    >>> tables, query = within("id < 9", "core.users", "FROM batch JOIN core.items USING (item)")
    >>> query
    'FROM batch JOIN core.items USING (item)'
    """
    where = f" WHERE {condition}" if condition else ""
    tables = {"batch": table}
    if condition:
        tables |= {"_".join(name): ".".join(name) for name in CUT.findall(query)}
        query = CUT.sub(r"\1_\2", query)
    seen = (
        f"{name} AS NOT MATERIALIZED (SELECT * FROM {whole}{where})"
        for name, whole in tables.items()
    )
    return f"WITH {', '.join(seen)}\n", query

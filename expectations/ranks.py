"""What must be true of any table of ranks: of held-out items, and of what really came next."""

from collections.abc import Sequence

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    between,
    contract,
    exactly_set,
    in_set,
    no_rows,
    row_count,
    unique,
)

COLUMNS = {
    "run_id": "VARCHAR",
    "split": "VARCHAR",
    "protocol": "VARCHAR",
    "user_id": "INTEGER",
    "rank": "FLOAT",
    "n_candidates": "INTEGER",
}


def columns_of(key: Sequence[str]) -> dict[str, str]:
    """The columns of a table of ranks, by what tells its rows apart."""
    names = (*key, "rank", "n_candidates")
    return {name: kind for name, kind in COLUMNS.items() if name in names}


def rank_checks(
    table: str, key: Sequence[str], targets: str, drawn: str, facts: Facts, *, held_out: int
) -> list[Expectation]:
    """Columns, one rank for each target, and places and candidates that there can be.

    Args:
        table: of the ranks.
        key: what tells its rows apart.
        targets: SQL of the key without `run_id` and `protocol`: what must be ranked.
        drawn: SQL of the same and `item_ids`, the candidates of protocol uniform_100.
        facts: what is known.
        held_out: how many of a user's own interactions are ranked.
    """
    return [
        row_count(None, reason="A run without ranks has no metrics."),
        *contract(table, columns_of(key)),
        exactly_set(
            "run_id",
            facts.run_ids,
            reason="The ranks of the trainings under audit, all of them and no others.",
        ),
        in_set("protocol", list(facts.protocols), reason="There are two protocols."),
        unique(*key, reason="A rank counted twice shifts every mean."),
        _complete(key, targets, facts.protocols),
        *_places(facts),
        _sampled(key, drawn),
        _every_item(key) if facts.comes_again else _every_new_item(key, held_out),
    ]


def rows_of(names: Sequence[str]) -> str:
    """Rows of one text each, as SQL."""
    return ", ".join(f"('{name}')" for name in names)


def _complete(key: Sequence[str], targets: str, protocols: Sequence[str]) -> Expectation:
    names = ", ".join(key)
    return no_rows(
        "a rank for each run, protocol and target, and no other",
        f"""
        WITH targets AS ({targets}),
        expected AS (
            SELECT {names}
            FROM (SELECT DISTINCT run_id FROM batch)
            CROSS JOIN (VALUES {rows_of(protocols)}) AS protocols (protocol)
            CROSS JOIN targets
        )
        SELECT {names}, 'missing' AS problem FROM expected ANTI JOIN batch USING ({names})
        UNION ALL
        SELECT {names}, 'no target' AS problem
        FROM batch ANTI JOIN targets USING (user_id) WHERE user_id IS NOT NULL
        """,
        reason="Means over different users cannot be compared.",
    )


def _places(facts: Facts) -> list[Expectation]:
    unknown = "" if facts.known_to is None else " AND rank <> 'inf'"
    return [
        between("rank", 1, None, reason="The best place is 1."),
        no_rows(
            "rank at most n_candidates",
            "FROM batch",
            where=f"rank > n_candidates{unknown}",
            reason="There is no place after the last. NaN is greater than all, so it fails too.",
        ),
        no_rows(
            "rank a multiple of 0.5",
            "SELECT * FROM batch WHERE isfinite(rank) AND rank * 2 <> round(rank * 2)",
            reason="1 + candidates above + half of the ties has no other fractions.",
        ),
    ]


def _sampled(key: Sequence[str], drawn: str) -> Expectation:
    shared = ", ".join(name for name in key if name not in ("run_id", "protocol"))
    return no_rows(
        "n_candidates of uniform_100 = candidates + 1",
        f"""
        SELECT {", ".join(key)}, n_candidates, len(item_ids) + 1 AS expected
        FROM batch JOIN ({drawn}) USING ({shared})
        WHERE protocol = 'uniform_100' AND n_candidates <> expected
        """,
        reason="Ranked against fewer than were drawn, the rank is too good.",
    )


def _every_new_item(key: Sequence[str], held_out: int) -> Expectation:
    return no_rows(
        f"n_candidates of full = items - history{f' + {held_out}' if held_out else ''}",
        f"""
        SELECT {", ".join(key)}, n_candidates,
               (SELECT count(*) FROM core.items) - n_interactions + {held_out} AS expected
        FROM batch JOIN core.users USING (user_id)
        WHERE protocol = 'full' AND n_candidates <> expected
        """,
        reason="Every item is ranked but those that the user had otherwise.",
    )


def _every_item(key: Sequence[str]) -> Expectation:
    """Where items come again."""
    return no_rows(
        "n_candidates of full = items",
        f"""
        SELECT {", ".join(key)}, n_candidates, (SELECT count(*) FROM core.items) AS expected
        FROM batch WHERE protocol = 'full' AND n_candidates <> expected
        """,
        reason="Every item is ranked: what the user has had may come again.",
    )

"""What must be true of `raw.ratings`, the archive's ratings row by row."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    Suite,
    between,
    contract,
    distinct_count,
    no_rows,
    of_load,
    on_scale,
    row_count,
    unique,
)

TABLE = "raw.ratings"
COLUMNS = {
    "load_id": "VARCHAR",
    "source_row": "BIGINT",
    "raw_user_id": "BIGINT",
    "raw_item_id": "BIGINT",
    "rating": "FLOAT",
    "timestamp": "BIGINT",
}
_ORDER = "It decides the order of rows with the same time."


def suite(facts: Facts) -> Suite:
    """Expectations on the staged ratings; reads `raw.items` and `raw.users` too."""
    return Suite(
        TABLE,
        ("source_row",),
        [
            row_count(
                facts.n_ratings,
                spare=facts.max_rejects,
                reason="A cut file parses well up to its end: only the count betrays it.",
            ),
            *contract(TABLE, COLUMNS, optional=() if facts.rated else ("rating",)),
            *_known_counts(facts),
            *_ids(facts),
            *_values(facts),
            *_relations(facts),
        ],
    )


def _known_counts(facts: Facts) -> list[Expectation]:
    known = {"raw_user_id": facts.n_users, "raw_item_id": facts.n_items}
    return [
        distinct_count(
            column,
            count,
            spare=facts.max_rejects,
            reason="The publisher says how many there are; another number is another archive.",
        )
        for column, count in known.items()
        if count is not None
    ]


def _ids(facts: Facts) -> list[Expectation]:
    return [
        of_load(facts),
        between("source_row", 1, None, reason="Lines are counted from 1."),
        unique("source_row", by="source_row", reason=_ORDER),
        between(
            "raw_user_id",
            1,
            None,
            reason=facts.if_own("Ids get numbers from 1.", "MovieLens numbers its users from 1."),
        ),
        between(
            "raw_item_id",
            1,
            None,
            reason=facts.if_own("Ids get numbers from 1.", "MovieLens numbers its movies from 1."),
        ),
    ]


def _values(facts: Facts) -> list[Expectation]:
    rated = on_scale(
        facts,
        reason="Stars outside the scale come from a shifted column or a damaged line.",
        step_reason="Values between the steps belong to another data set.",
    )
    return [*(rated if facts.rated else _unrated()), *_times(facts)]


def _unrated() -> list[Expectation]:
    return [
        no_rows(
            "rating null",
            "FROM batch",
            where="rating IS NOT NULL",
            shown="source_row, rating",
            reason="The description names no ratings: none may be invented.",
        )
    ]


def _times(facts: Facts) -> list[Expectation]:
    return [
        between(
            "timestamp",
            facts.timestamp_min,
            facts.timestamp_max,
            reason=facts.if_own(
                "Before 1970 or in the future: another unit, or a wrong column.",
                "Before MovieLens or in the future: zero, milliseconds or a wrong column.",
            ),
        ),
    ]


def _relations(facts: Facts) -> list[Expectation]:
    repeated = unique(
        "raw_user_id",
        "raw_item_id",
        by="raw_user_id",
        reason=facts.if_own(
            "The preparation keeps one of them, as the description says.",
            "The preparation keeps the earliest of them; many would be a doubled file.",
        ),
        severity="info" if facts.own else "warning",
    )
    titled = _known("raw_item_id", "raw.items", "The item is trained on, but has no title to show.")
    return [
        *([] if facts.comes_again else [repeated]),
        *([titled] if facts.named else []),
        _known(
            "raw_user_id", "raw.users", "The user is trained on, but the users file lacks them."
        ),
    ]


def _known(column: str, other: str, reason: str) -> Expectation:
    return no_rows(
        f"{column} in {other}",
        f"""
        SELECT source_row, {column}
        FROM batch ANTI JOIN {other} USING ({column})
        WHERE {column} IS NOT NULL
        """,
        reason=reason,
        severity="warning",
    )

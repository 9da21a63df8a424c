"""What must be true of `raw.users`, the archive's users."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Suite,
    between,
    contract,
    in_set,
    no_rows,
    of_load,
    row_count,
    unique,
)

TABLE = "raw.users"
COLUMNS = {
    "load_id": "VARCHAR",
    "raw_user_id": "BIGINT",
    "gender": "VARCHAR",
    "age": "VARCHAR",
    "occupation": "VARCHAR",
}


def suite(facts: Facts) -> Suite:
    """Expectations on the staged users; reads `raw.ratings` too."""
    return Suite(
        TABLE,
        ("raw_user_id",),
        [
            row_count(None, reason="Every archive has users, if only their numbers."),
            *contract(TABLE, COLUMNS, optional=("gender", "age", "occupation")),
            of_load(facts),
            between(
                "raw_user_id",
                1,
                None,
                reason=facts.if_own(
                    "Ids get numbers from 1.", "MovieLens numbers its users from 1."
                ),
            ),
            unique(
                "raw_user_id",
                reason="Two descriptions of one user: joins would double the ratings.",
                severity="warning",
            ),
            in_set(
                "gender",
                ["F", "M"],
                reason="What the archives write; else the columns are shifted.",
                severity="warning",
            ),
            no_rows(
                "raw_user_id in raw.ratings",
                """
                SELECT raw_user_id FROM batch ANTI JOIN raw.ratings USING (raw_user_id)
                WHERE raw_user_id IS NOT NULL
                """,
                reason="A user without ratings is left out of every snapshot.",
                severity="info",
            ),
        ],
    )

"""What must be true of `raw.items`, the archive's movies."""

from expectations.facts import Facts
from expectations.vocabulary import (
    Expectation,
    Suite,
    between,
    contract,
    no_rows,
    of_load,
    row_count,
    unique,
)

TABLE = "raw.items"
COLUMNS = {
    "load_id": "VARCHAR",
    "raw_item_id": "BIGINT",
    "title": "VARCHAR",
    "genres": "VARCHAR",
}


def suite(facts: Facts) -> Suite:
    """Expectations on the staged movies."""
    return Suite(
        TABLE,
        ("raw_item_id",),
        [
            *([_some()] if facts.named else []),
            *contract(TABLE, COLUMNS, optional=("title",) if facts.own else ()),
            of_load(facts),
            between(
                "raw_item_id",
                1,
                None,
                reason=facts.if_own(
                    "Ids get numbers from 1.", "MovieLens numbers its movies from 1."
                ),
            ),
            unique(
                "raw_item_id",
                reason="The preparation takes the first title; which is right is unknown.",
                severity="warning",
            ),
            *_titles(),
            *([] if facts.own else [_with_year()]),
        ],
    )


def _some() -> Expectation:
    return row_count(None, reason="Without movies no recommendation has a name.")


def _titles() -> list[Expectation]:
    return [
        no_rows(
            "title not blank",
            "SELECT raw_item_id, title FROM batch WHERE trim(title) = ''",
            reason="A blank title shows as nothing in recommendations.",
            severity="warning",
        ),
        no_rows(
            "title rightly decoded",
            # U+FFFD, C1 controls, and UTF-8's two-byte letters read as Latin-1.
            r"""
            SELECT raw_item_id, title FROM batch
            WHERE regexp_matches(title, '\x{FFFD}|[\x{80}-\x{9F}]|[\x{C2}\x{C3}][\x{A0}-\x{BF}]')
            """,
            reason="Signs of the wrong encoding: the letters are lost or doubled.",
            severity="warning",
        ),
    ]


def _with_year() -> Expectation:
    return no_rows(
        "title ends with a year",
        r"""
        SELECT raw_item_id, title FROM batch
        WHERE trim(title) <> '' AND NOT regexp_matches(title, '\(\d\d\d\d.*\)\s*$')
        """,
        reason="MovieLens writes 'Title (1995)'; a few real titles lack it.",
        severity="info",
    )

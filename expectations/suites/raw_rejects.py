"""What must be true of `raw.rejects`, the lines that could not be taken. It may be empty."""

from expectations.facts import Facts
from expectations.vocabulary import Suite, between, contract, no_rows, of_load

TABLE = "raw.rejects"
COLUMNS = {
    "load_id": "VARCHAR",
    "member": "VARCHAR",
    "source_row": "BIGINT",
    "line": "VARCHAR",
    "reason": "VARCHAR",
}


def suite(facts: Facts) -> Suite:
    """Expectations on the quarantine: the offending lines are the sample."""
    lines = "SELECT member, source_row, line, reason FROM batch"
    count = "(SELECT count(*) FROM batch)"
    return Suite(
        TABLE,
        ("member", "source_row"),
        [
            no_rows(
                f"row count at most {facts.max_rejects}",
                f"{lines} WHERE {count} > {facts.max_rejects}",
                reason="More lines than --max-rejects allows could not be taken.",
            ),
            *contract(TABLE, COLUMNS),
            of_load(facts),
            between("source_row", 1, None, reason="Lines are counted from 1."),
            no_rows(
                "no line rejected",
                f"{lines} WHERE {count} <= {facts.max_rejects}",
                reason="Allowed by --max-rejects, but what is lost should be seen.",
                severity="warning",
            ),
        ],
    )

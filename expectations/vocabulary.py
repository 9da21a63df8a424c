"""The kinds of expectation that suites are written in.

Each function returns Great Expectations' own expectation with its severity, its reason (`notes`)
and its wording (`meta`). Map expectations pass on zero rows, so every suite starts with
`row_count`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from expectations.facts import Facts
from expectations.library import BatchExpectation, Expectation, PrivateAttr, gxe
from expectations.outcome import Severity
from expectations.prefetch import Rows, prefetched

__all__ = [
    "SAMPLE_ROWS",
    "Expectation",
    "OffendingRows",
    "Suite",
    "between",
    "contiguous",
    "contract",
    "distinct_count",
    "exactly_set",
    "in_set",
    "no_rows",
    "not_null",
    "on_step",
    "row_count",
    "suspicion",
    "unique",
]

SAMPLE_ROWS = 5
ALL_ROWS = 100_000


class OffendingRows(BatchExpectation):  # type: ignore[misc]
    """Fails when a query returns rows that it looks for: counts them and shows five.

    Great Expectations' own classes for columns take 4 ms each to find out what to ask, and the one
    for queries runs each of them twice; here the count is there before it is asked for.

    Attributes:
        query: calls the audited table `batch`.
        where: which of its rows offend. Checks of one query with several conditions are counted
            together.
        shown: columns of a sample; `{key}` stands for those that identify a row of the table.
        table: the audited table, told by its suite.
        most: rows that a sample has at most.
        by: see `Rows`.
    """

    query: str
    where: str
    shown: str
    table: str = ""
    most: int = SAMPLE_ROWS
    by: str = ""
    _kept: Any = PrivateAttr(None)
    success_keys: ClassVar[tuple[str, ...]] = ("query", "where", "shown", "table", "most", "by")

    @property
    def rows(self) -> Rows:
        """Those that are looked for."""
        return Rows(self.table, self.query, self.where, self.by)

    @property
    def configuration(self) -> Any:
        """Made once, of fields that no longer change: it is asked for some ten times an audit."""
        if self._kept is None:
            self._kept = super().configuration
        return self._kept

    def _validate(
        self,
        metrics: Mapping[str, Any],  # noqa: ARG002
        runtime_configuration: Any = None,  # noqa: ARG002
        execution_engine: Any = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        count = prefetched().count(self.rows)
        sample = prefetched().sample(self.rows, self.shown, self.most) if count else []
        return {
            "success": count == 0,
            "result": {"unexpected_count": count, "partial_unexpected_index_list": sample},
        }


@dataclass(frozen=True)
class Suite:
    """What must be true of one table; `key` names the columns that identify a row in a sample."""

    table: str
    key: Sequence[str]
    expectations: Sequence[Expectation]

    def __post_init__(self) -> None:
        for expectation in self.queries:
            expectation.table = self.table
            expectation.shown = expectation.shown.replace("{key}", ", ".join(self.key))

    @property
    def queries(self) -> list[OffendingRows]:
        """Those that are queries of ours."""
        return [one for one in self.expectations if isinstance(one, OffendingRows)]


def no_rows(
    words: str,
    sql: str,
    *,
    where: str = "true",
    shown: str = "*",
    by: str = "",
    reason: str,
    severity: Severity = "critical",
) -> Expectation:
    """No row of `sql` is one of `where`; `sql` calls the audited table `batch`.

    Checks of the same `sql` are one query. `shown` are the columns of a sample. Where `sql` looks
    at each value of a column alone, `by` names it: large tables are then looked at in parts.
    """
    told = _told(words, reason, severity)
    return OffendingRows(query=sql.strip(), where=where, shown=shown, by=by, **told)


def suspicion(name: str, words: str, sql: str, *, reason: str) -> Expectation:
    """A statistic of `sql` that warns, and that people may accept by its name.

    All rows are kept: each says of which training it is.
    """
    told = _told(words, reason, "warning")
    told["meta"]["name"] = name
    return OffendingRows(query=sql.strip(), where="true", shown="*", most=ALL_ROWS, **told)


def row_count(known: int | None, *, spare: int = 0, reason: str) -> Expectation:
    """As many rows as known, `spare` of them possibly missing; at least one when unknown."""
    low, high = _bounds(known, spare)
    return gxe.ExpectTableRowCountToBeBetween(
        min_value=low, max_value=high, **_told(f"row count {_span(low, high)}", reason, "critical")
    )


def distinct_count(column: str, known: int, *, spare: int = 0, reason: str) -> Expectation:
    """As many distinct values as known, `spare` of them possibly missing."""
    low, high = _bounds(known, spare)
    words = f"distinct {column} {_span(low, high)}"
    return gxe.ExpectColumnUniqueValueCountToBeBetween(
        column=column, min_value=low, max_value=high, **_told(words, reason, "critical")
    )


def contract(
    table: str, columns: Mapping[str, str], *, optional: Sequence[str] = ()
) -> list[Expectation]:
    """Exactly these columns, of these types, none null but the `optional` ones."""
    return [
        gxe.ExpectTableColumnsToMatchSet(
            column_set=list(columns),
            exact_match=True,
            **_told(
                f"columns are {', '.join(columns)}",
                "Other columns come from another version of the code, or from another file.",
                "critical",
            ),
        ),
        _types(table, columns),
        *(not_null(column) for column in columns if column not in optional),
    ]


def _types(table: str, columns: Mapping[str, str]) -> Expectation:
    schema, name = table.split(".")
    wanted = ", ".join(f"('{column}', '{kind}')" for column, kind in columns.items())
    return no_rows(
        "column types are " + ", ".join(columns.values()),
        f"""
        SELECT column_name, stored.data_type AS got, wanted.data_type AS expected
        FROM duckdb_columns() AS stored
        JOIN (VALUES {wanted}) AS wanted (column_name, data_type) USING (column_name)
        WHERE schema_name = '{schema}' AND table_name = '{name}'
          AND stored.data_type <> wanted.data_type
        """,
        reason="A narrower type rounds or overflows in silence: 4.5 stars as an integer are 5.",
    )


def not_null(column: str) -> Expectation:
    """No null in a column."""
    reason = "Every row has one; comparisons with null are neither true nor false."
    return _values(f"{column} not null", f"{column} IS NULL", column, reason, "critical")


def between(
    column: str,
    low: float | None,
    high: float | None,
    *,
    reason: str,
    severity: Severity = "critical",
) -> Expectation:
    """Every value within inclusive bounds."""
    limits = [
        f"{column} {sign} {limit}" for sign, limit in (("<", low), (">", high)) if limit is not None
    ]
    outside = " OR ".join(limits)
    return _values(f"{column} {_span(low, high)}", outside, column, reason, severity)


def in_set(
    column: str, values: Iterable[str], *, reason: str, severity: Severity = "critical"
) -> Expectation:
    """Every value is one of these."""
    known = list(values)
    others = f"{column} NOT IN ({', '.join(_quoted(value) for value in known)})"
    return _values(f"{column} in {', '.join(known)}", others, column, reason, severity)


def exactly_set(column: str, values: Iterable[str], *, reason: str) -> Expectation:
    """Every one of these values occurs, and no other."""
    known = list(values)
    words = f"distinct {column} are {', '.join(known)}"
    return gxe.ExpectColumnDistinctValuesToEqualSet(
        column=column, value_set=known, **_told(words, reason, "critical")
    )


def unique(
    *columns: str, reason: str, by: str = "", severity: Severity = "critical"
) -> Expectation:
    """No combination of these columns twice; `by` is one of them, see `no_rows`.

    In SQL, since Great Expectations' own takes five times as long on a million rows.
    """
    names = ", ".join(columns)
    return no_rows(
        f"({names}) unique",
        f"SELECT {names}, count(*) AS times FROM batch GROUP BY {names} HAVING count(*) > 1",
        by=by,
        reason=reason,
        severity=severity,
    )


def on_step(column: str, step: float, *, low: float = 0, reason: str) -> Expectation:
    """Every value is a whole multiple of `step`, counted from `low`."""
    words = f"{column} a multiple of {step:g}" + (f" above {low:g}" if low else "")
    steps = f"{column} / {step}" if not low else f"({column} - {low}) / {step}"
    return no_rows(
        words,
        "FROM batch",
        where=f"abs({steps} - round({steps})) > {1e-6 if not low else 1e-4}",
        reason=reason,
    )


def of_load(facts: Facts) -> Expectation:
    """Rows of the load under audit alone."""
    reason = "Staging holds one load; rows of another are a mix."
    return in_set("load_id", [facts.load_id], reason=reason)


def of_snapshot(facts: Facts) -> Expectation:
    """Rows of the snapshot under audit alone."""
    reason = "Staging holds one snapshot; rows of another are a mix."
    return in_set("snapshot_id", [facts.snapshot_id], reason=reason)


def on_scale(facts: Facts, *, reason: str, step_reason: str) -> list[Expectation]:
    """Ratings within their scale, and on its steps where it has some."""
    low, high, step = facts.rating_min, facts.rating_max, facts.rating_step
    steps = [] if step is None else [(step, low if facts.own else 0)]
    return [
        between("rating", low, high, reason=reason),
        *(on_step("rating", one, low=start, reason=step_reason) for one, start in steps),
    ]


def in_order_of(number: str, key: str) -> Expectation:
    """Numbers ascend as what they stand for does."""
    return no_rows(
        f"{number} in the order of {key}",
        f"""
        SELECT * FROM (
            SELECT {number}, {key}, lag({key}) OVER (ORDER BY {number}, {key}) AS before
            FROM batch
        ) WHERE {key} < before
        """,
        reason="Ids follow from the data alone, so that a rerun gives the same.",
    )


def contiguous(column: str) -> Expectation:
    """The distinct values are 1, 2, 3 … without a gap."""
    return no_rows(
        f"{column} from 1 without a gap",
        f"""
        SELECT min({column}) AS lowest, max({column}) AS highest,
               count(DISTINCT {column}) AS ids
        FROM batch
        HAVING lowest <> 1 OR highest <> ids
        """,
        reason="Ids are rows of an embedding table: 0 is padding, a gap is a row nobody trains.",
    )


def _values(words: str, where: str, column: str, reason: str, severity: Severity) -> Expectation:
    """No value of a column is one of `where`; all such checks of a table are one query."""
    shown = f"{{key}}, {column}"
    return no_rows(words, "FROM batch", where=where, shown=shown, reason=reason, severity=severity)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _told(words: str, reason: str, severity: Severity) -> dict[str, Any]:
    return {"severity": severity, "notes": reason, "meta": {"words": words}}


def _bounds(known: int | None, spare: int) -> tuple[int, int | None]:
    return (1, None) if known is None else (max(1, known - spare), known)


def _span(low: float | None, high: float | None) -> str:
    if low == high:
        return f"= {low}"
    if high is None:
        return f"at least {low}"
    if low is None:
        return f"at most {high}"
    return f"between {low} and {high}"

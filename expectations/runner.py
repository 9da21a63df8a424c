"""Runs suites on a DuckDB file and says what came of each expectation."""

import importlib
import logging
import math
import os
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from expectations.dialect import ADDRESS
from expectations.facts import Facts
from expectations.library import Expectation, SQLDatasource, gx
from expectations.outcome import Outcome, stops
from expectations.prefetch import prefetching
from expectations.vocabulary import SAMPLE_ROWS, Suite

__all__ = ["Outcome", "audit", "stops"]

MEMORY_LIMIT = os.environ.get("FPT_MEMORY_LIMIT", "4GB")
# Great Expectations keeps its context in a global.
_ONE_AT_A_TIME = threading.Lock()


def audit(database: Path, suites: Sequence[str], facts: Facts) -> list[Outcome]:
    """Judge staged tables where they lie; the file is opened read-only and released at the end.

    Args:
        database: DuckDB file that holds one load or one snapshot; nobody may be writing to it.
        suites: names out of `expectations.suites`.
        facts: what the suites must know.

    Returns:
        One outcome an expectation, in the order of the suites. A check that raised is a failed
        critical one, and so is a suite whose table cannot be read.
    """
    built = [_load(name, facts) for name in suites]
    with _ONE_AT_A_TIME, _quiet():
        try:
            with _opened(database) as source, _prefetching(source, built):
                return [outcome for suite in built for outcome in _judged(source, suite)]
        except Exception as error:  # the file does not open: nothing was judged
            return [_not_judged(suite, error) for suite in built]


def _load(name: str, facts: Facts) -> Suite:
    suite: Suite = importlib.import_module(f"expectations.suites.{name}").suite(facts)
    return suite


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations' notes on DuckDB out of our logs; what matters is in the results."""
    logger, nobody = logging.getLogger("great_expectations"), logging.NullHandler()
    propagate = logger.propagate
    logger.addHandler(nobody)
    logger.propagate = False  # a level would not do: some of its modules set their own
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.propagate = propagate
        logger.removeHandler(nobody)


@contextmanager
def _opened(database: Path) -> Iterator[SQLDatasource]:
    """A data source on the file; at the end every connection is closed, hence its lock is free."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    # else it writes its settings as YAML, to nowhere, at every table that it learns of
    context.variables.save = lambda: None
    # The path goes past the address, where `?`, `%` and `$` would have a meaning.
    connection = {
        "database": str(database),
        "read_only": True,
        "config": {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(database.with_suffix(".spill")),
        },
    }
    source = context.data_sources.add_sql(
        "audited", connection_string=ADDRESS, kwargs={"connect_args": connection}
    )
    try:
        yield source
    finally:
        source.get_engine().dispose()
        source.get_execution_engine().engine.dispose()


@contextmanager
def _prefetching(source: SQLDatasource, suites: Sequence[Suite]) -> Iterator[None]:
    connection = source.get_engine().raw_connection()
    wanted = [query.rows for suite in suites for query in suite.queries]
    try:
        with prefetching(connection.driver_connection.duckdb, wanted):
            yield
    finally:
        connection.close()


def _judged(source: SQLDatasource, suite: Suite) -> list[Outcome]:
    try:
        results = _results(source, suite)
    except Exception as error:  # whatever it was, this table did not pass
        return [_not_judged(suite, error)]
    return [
        _outcome(suite.table, expectation, results.get(expectation.meta["words"]))
        for expectation in suite.expectations
    ]


def _results(source: SQLDatasource, suite: Suite) -> dict[str, Any]:
    """What Great Expectations says, by the words of the expectation."""
    schema, table = suite.table.split(".")
    asset = source.add_table_asset(suite.table, table_name=table, schema_name=schema)
    batch = asset.add_batch_definition_whole_table("all").get_batch()
    wanted = gx.ExpectationSuite(name=suite.table, expectations=list(suite.expectations))
    validation = batch.validate(wanted, result_format="BASIC")
    return {result.expectation_config.meta["words"]: result for result in validation.results}


def _outcome(table: str, expectation: Expectation, answer: Any) -> Outcome:
    error = "no result came back" if answer is None else _raised(answer.exception_info)
    result = {} if answer is None else answer.result
    name = None if error else expectation.meta.get("name")  # what raised is no suspicion
    rows = _rows(result)
    return Outcome(
        table_name=table,
        expectation=expectation.meta["words"],
        severity="critical" if error else expectation.severity.value,
        success=error is None and answer is not None and bool(answer.success),
        observed=error or _observed(result),
        # Checks of a whole table observe a value; the others count rows.
        unexpected_count=None if "observed_value" in result else result.get("unexpected_count"),
        reason=expectation.notes,
        sample=rows[:SAMPLE_ROWS],
        name=name,
        found=rows if name else [],
    )


def _not_judged(suite: Suite, error: Exception) -> Outcome:
    # Great Expectations guesses at the reason, and wrongly; DuckDB knows it.
    cause = error.__cause__ or error
    return Outcome(
        table_name=suite.table,
        expectation="the table can be audited",
        severity="critical",
        success=False,
        observed=_first_lines(f"{type(cause).__name__}: {cause}"),
        unexpected_count=None,
        reason="What was not looked at is not known to be right.",
    )


def _raised(info: dict[str, Any]) -> str | None:
    """The message of a check that raised; Great Expectations nests it by metric, or not."""
    entries = [info] if "raised_exception" in info else list(info.values())
    for entry in entries:
        if entry["raised_exception"]:
            return _first_lines(str(entry["exception_message"]))
    return None


def _first_lines(message: str) -> str:
    """An error without the statement that SQLAlchemy appends to it."""
    return message.partition("\n[SQL: ")[0].strip()[:500]


def _observed(result: dict[str, Any]) -> str | None:
    if result.get("observed_value") is not None:
        return str(result["observed_value"])
    count = result.get("unexpected_count")
    if "partial_missing_list" in result:
        unexpected, missing = result["partial_unexpected_list"], result["partial_missing_list"]
        return f"unexpected {unexpected}, missing {missing}"
    return None if count is None else f"{count} rows"


def _rows(result: dict[str, Any]) -> list[dict[str, Any]]:
    rows = result.get("partial_unexpected_index_list") or []
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    """A value that JSON can hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value)

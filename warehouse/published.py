"""What is published, opened for people's questions: it can be read, and nothing else can."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from warehouse.catalogue import opened, reading
from warehouse.database import literal_glob, quoted
from warehouse.errors import RefusedError
from warehouse.following import publication
from warehouse.home import Home
from warehouse.store import listed
from warehouse.stored_files import damaged

MEMORY_LIMIT = "2GB"
SPILL_LIMIT = "8GB"
WRITES = ("COPY_TO_FILE", "EXECUTE_SERIALIZED_SQL")  # ends of operators' names
_EXPLAIN = re.compile(r"\s*EXPLAIN\b\s*(ANALYZE\b)?\s*(\([^)]*\))?", re.IGNORECASE)

_LINE = re.compile(r"^(LINE )(\d+):", re.MULTILINE)


@contextmanager
def guarded(
    home: Home, spill: Path | None = None, output: Path | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads the catalogue and the files that it lists, by their paths.

    It can't reach other files or be talked out of it. That it does not write to those files is up
    to `refuse_writing`: a listed path is as good for DuckDB to write as to read. Its settings are
    those of every connection to the catalogue in this process.

    Args:
        home: whose catalogue.
        spill: folder for what exceeds the memory; DuckDB makes it when it needs it.
        output: a file that it may write, too.

    Raises:
        RefusedError: nothing is published yet, or the catalogue does not open.
    """
    refuse_unpublished(home)
    with reading(home):
        pass  # brings a catalogue of older code up to date
    with opened(home) as connection:
        paths = [home.files / file.path for file in listed(connection)]
        paths += [output] if output else []
        # by its name, and as views have it: brackets in a folder's name stand there in brackets
        files = ", ".join(
            quoted(name) for path in paths for name in (str(path), literal_glob(path))
        )
        settings = {"memory_limit": quoted(MEMORY_LIMIT), "allowed_paths": f"[{files}]"}
        if spill is not None:
            settings["temp_directory"] = quoted(str(spill))
            settings["max_temp_directory_size"] = quoted(SPILL_LIMIT)
        settings["python_enable_replacements"] = "false"  # our variables are no tables
        settings["enable_external_access"] = "false"
        settings["lock_configuration"] = "true"  # the last: nothing changes after it
        for name, value in settings.items():
            connection.execute(f"SET {name} = {value}")
        yield connection


def refuse_unpublished(home: Home) -> None:
    """Refuse to ask where nothing is published.

    Raises:
        RefusedError: so.
    """
    if not publication(home):
        raise RefusedError(
            "Nothing is published yet",
            got=f"nothing in {home.catalogue}",
            to_do="Run `fpt run` first",
        )


def no_answer(home: Home, asked: int, error: duckdb.Error) -> RefusedError:
    """Why DuckDB gave no answer: the SQL is wrong, or a file of the store is gone.

    Args:
        home: whose catalogue was asked.
        asked: the number of its newest publication when it was opened.
        error: what DuckDB says.
    """
    refused = RefusedError(f"The question was refused: {error}")
    # where other files are forbidden, DuckDB tells a missing one as forbidden
    of_files = isinstance(error, (duckdb.IOException, duckdb.PermissionException))
    if not of_files or str(home.store) not in str(error):
        return refused
    if (now := publication(home)) != asked:
        return RefusedError(
            "What was asked has been withdrawn meanwhile",
            got=f"publication {now} instead of {asked}",
            to_do="Ask again: the answer is of what is published now",
        )
    with opened(home) as connection:
        broken = [f"{one.path} is {fault}" for one, fault in damaged(home, listed(connection))]
    if not broken:
        return refused
    return RefusedError(
        "The store is not whole",
        got=broken[0],
        to_do="`fpt doctor --mend` looks at all of it; the next run makes again what is lost",
    )


def refuse_writing(connection: duckdb.DuckDBPyConnection, question: str) -> None:
    """Refuse whatever is no question: SELECT (WITH, FROM, SHOW, DESCRIBE …), or EXPLAIN of one.

    Raises:
        RefusedError: a statement would do something.
        duckdb.Error: it is no SQL.
    """
    for statement in connection.extract_statements(question):
        text = statement.query
        if _kind(statement) == "EXPLAIN":
            text = _EXPLAIN.sub("", text, count=1)
        for inner in connection.extract_statements(text):
            if (kind := _kind(inner)) != "SELECT":
                raise _does_something(kind)
            _refuse_plan(connection, inner.query)


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # the newest kinds have no name in Python: UPDATE EXTENSIONS
        return statement.query.split(maxsplit=1)[0]


def _refuse_plan(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """A SELECT may write too: DuckDB 2.0 takes COPY within WITH; a function of JSON runs SQL."""
    try:
        plans = connection.execute(f"EXPLAIN (FORMAT json)\n{text}").fetchall()
    except duckdb.Error as error:
        # it shows the line that is wrong, and ours stood before the first
        said = _LINE.sub(lambda found: f"{found[1]}{int(found[2]) - 1}:", str(error))
        raise type(error)(said) from None
    for _, plan in plans:
        for name in _operators(json.loads(plan)):
            if name.endswith(WRITES):
                raise _does_something(name)


def _operators(nodes: list[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        yield node["name"]
        yield from _operators(node["children"])


def _does_something(seen: str) -> RefusedError:
    return RefusedError(
        "The question was refused: it would do something",
        got=seen,
        expected="SELECT, WITH, FROM, SHOW, DESCRIBE, SUMMARIZE or EXPLAIN",
    )

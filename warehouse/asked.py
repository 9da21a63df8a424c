"""The program that answers people's questions: `python -m warehouse.asked`, see `answers`.

DuckDB's own limits do not reach into one call of a function; the system's limits of a process do.
A line of JSON on stdin is a question and a form. The answer is written into a file that was opened
for us; a line of JSON on stdout says how it ended: null, or the parts of a `RefusedError`; and the
names of the columns where there is no row.
"""

import ctypes
import json
import os
import re
import resource
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from warehouse.errors import RefusedError
from warehouse.home import Home

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from warehouse.cells import Column, Format, Row

BATCH = 2048
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Place:
    """What the program is started with.

    Attributes:
        home: whose published copy is asked.
        spill: folder for what exceeds DuckDB's memory.
        answer: number of the open file for answers.
        parent: the process that asks.
        memory: bytes of memory that this process may have.
        file: bytes that a file may have, the answer or one of those in `spill`.
    """

    home: str
    spill: str
    answer: int
    parent: int
    memory: int
    file: int


def main() -> None:
    """Answer until stdin ends."""
    place = Place(**json.loads(sys.argv[1]))
    _end_with(place.parent)
    os.umask(0o077)
    for kind, most in (
        (resource.RLIMIT_DATA, place.memory),
        (resource.RLIMIT_FSIZE, place.file),
        (resource.RLIMIT_CORE, 0),
    ):
        _limit(kind, most)
    with os.fdopen(place.answer, "w", encoding="utf-8", newline="") as file:
        import warehouse.published  # noqa: F401 - DuckDB is there when the first question comes
        from warehouse.following import as_it_is

        for line in sys.stdin:
            file.seek(0)
            file.truncate()
            with as_it_is(Home.existing(place.home)):
                print(json.dumps(_reply(place, file, **json.loads(line))), flush=True)


def _end_with(parent: int) -> None:
    """On Linux the system kills this process when the one that asks is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("whoever asked is gone")


def _limit(kind: int, most: int) -> None:
    hard = resource.getrlimit(kind)[1]
    allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (allowed, allowed))


Parts = dict[str, str | None]


def _reply(
    place: Place, file: TextIO, question: str, form: "Format"
) -> tuple[Parts | None, list[str] | None]:
    """Why there is no answer, or None when it is in the file; and its columns, if it has no row."""
    import duckdb

    from warehouse.following import publication
    from warehouse.published import no_answer

    home = Home.existing(place.home)
    asked = publication(home)
    memory = RefusedError(
        "The answer needs more memory than a question may have",
        to_do="Ask for fewer rows or columns",
    )
    try:
        names = _answer(place, file, question, form)
        file.flush()
    except RefusedError as error:
        refusal = error
    except (MemoryError, duckdb.OutOfMemoryException):
        refusal = memory
    except duckdb.Error as error:
        refusal = no_answer(home, asked, error)
    except OSError as error:
        what = f"Can't write {error.filename}" if error.filename else "The answer can't be kept"
        refusal = RefusedError(what, got=error.strerror)
    except UnicodeError:
        refusal = RefusedError(
            "The question is no text",
            got="bytes that are no letters here",
            to_do="Set LC_ALL=C.UTF-8, or another locale with UTF-8",
        )
    except Exception as error:
        refusal = RefusedError("No answer", got=f"{type(error).__name__}: {error}")
    else:
        return None, names
    return _parts(refusal), None


def _parts(error: RefusedError) -> Parts:
    return {
        "what": error.what,
        "got": error.got,
        "expected": error.expected,
        "to_do": error.to_do,
    }


def _answer(place: Place, file: TextIO, question: str, form: "Format") -> list[str] | None:
    """Write the answer; the names of its columns if it has no row.

    Each question has a connection of its own: it sees the newest copy, and no other's doings.
    """
    from warehouse.cells import SHOWN_ROWS, columns, select_list, write
    from warehouse.published import guarded, refuse_writing
    from warehouse.spreadsheet import write_workbook

    spill = Path(place.spill)
    parquet = spill.with_suffix(".parquet")
    with guarded(Home.existing(place.home), spill, parquet) as connection:
        question.encode()  # the command line may hold other bytes
        refuse_writing(connection, question)
        _refuse_all_but_one(len(connection.extract_statements(question)))
        relation = connection.sql(question)
        of = columns(relation.columns, relation.types)
        if form == "parquet":
            _write_parquet(relation, of, parquet, file)
            return None
        texts = relation.project(select_list(of, form))
        wanted = texts.limit(SHOWN_ROWS + 1) if form == "table" else texts
        rows = _rows(connection, wanted)
        first = next(rows, None)
        whole = rows if first is None else chain([first], rows)
        if form == "xlsx":
            write_workbook(whole, of, file.buffer, spill)
        else:
            write(whole, of, form, file)
    return [column.name for column in of] if first is None else None


def _refuse_all_but_one(questions: int) -> None:
    """DuckDB would tell the answer to the last of several alone."""
    if questions != 1:
        raise RefusedError(
            "One question has one answer",
            got=f"{questions} questions" if questions else "none",
            expected="SQL, or a name that `fpt sql --list` shows",
            to_do="Ask them one after the other" if questions else "",
        )


def _write_parquet(relation: Any, of: Sequence["Column"], path: Path, file: TextIO) -> None:
    """By DuckDB, which keeps its types; it writes to a path, and that is copied into the answer."""
    names = (one.name.replace('"', '""') for one in of)
    values = (_exact(f"#{n}", str(kind)) for n, kind in enumerate(relation.types, start=1))
    chosen = ", ".join(f'{value} AS "{name}"' for value, name in zip(values, names, strict=True))
    try:
        relation.project(chosen).write_parquet(str(path), compression="zstd")
        with path.open("rb") as written:
            shutil.copyfileobj(written, file.buffer)
    finally:
        path.unlink(missing_ok=True)


def _exact(value: str, kind: str) -> str:
    """A value that Parquet can hold to the last digit: DuckDB would write a HUGEINT as a float."""
    if re.fullmatch(r"U?HUGEINT(\[\d*\])*", kind):
        return f"{value}::{re.sub('U?HUGEINT', 'DECIMAL(38, 0)', kind)}"
    return value


def _rows(connection: "DuckDBPyConnection", relation: Any) -> Iterator["Row"]:
    """Row by row: a relation's own methods would keep them all in memory."""
    connection.execute(relation.sql_query())
    for batch in iter(partial(connection.fetchmany, BATCH), []):
        yield from batch


if __name__ == "__main__":
    main()

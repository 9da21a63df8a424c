"""Mutants are the small mistakes they should be, and what is accepted of them is still there."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def mutate():
    return importlib.import_module("mutate")


@pytest.fixture
def mutation(mutate):
    return importlib.import_module("mutation")


@pytest.fixture
def made(mutate):
    """The mutated texts of a small file, by what came in."""

    def go(name: str, text: str) -> set[str]:
        return {one.apply(text).strip() for one in mutate.mutants(name, text)}

    return go


def test_python_by_hand(made):
    assert made("x.py", "a = b < 2 and not c") == {
        "a = b <= 2 and not c",
        "a = b >= 2 and not c",
        "a = b < 3 and not c",
        "a = b < (1) and not c",
        "a = b < 2 or not c",
        "a = (b < 2)",
        "a = (not c)",
        "a = b < 2 and (c)",
    }
    assert made("x.py", 'rows.sort("é", "b", descending=True)') == {
        "pass",
        "rows",
        'rows.sort("b", descending=True)',
        'rows.sort("é", descending=True)',
        'rows.sort("é", "b")',
        'rows.sort("é", "b", descending=False)',
    }


def test_what_is_said_to_people_and_types_are_left_alone(made):
    assert (
        made("x.py", '"""One, 1."""\n\n\ndef f(x: list[1]) -> tuple[1, 2]:\n    """2."""\n')
        == set()
    )
    assert made("x.py", 'raise RefusedError("No 1", got=1, expected=2)') == {"pass"}


def test_sql_by_hand(made):
    view = (
        "SELECT a.x FROM t WHERE s = 'p' AND k >= 10 ORDER BY x DESC, y; COMMENT ON t IS '1 = 1';"
    )
    changed = {text.removesuffix(" COMMENT ON t IS '1 = 1';") for text in made("x.sql", view)}
    assert changed >= {
        "SELECT a.x FROM t  ORDER BY x DESC, y;",
        "SELECT a.x FROM t WHERE s <> 'p' AND k >= 10 ORDER BY x DESC, y;",
        "SELECT a.x FROM t WHERE s = '~p' AND k >= 10 ORDER BY x DESC, y;",
        "SELECT a.x FROM t WHERE s = 'p'  ORDER BY x DESC, y;",
        "SELECT a.x FROM t WHERE  k >= 10 ORDER BY x DESC, y;",
        "SELECT a.x FROM t WHERE s = 'p' OR k >= 10 ORDER BY x DESC, y;",
        "SELECT a.x FROM t WHERE s = 'p' AND k > 10 ORDER BY x DESC, y;",
        "SELECT a.x FROM t WHERE s = 'p' AND k >= 11 ORDER BY x DESC, y;",
        "SELECT a.x FROM t WHERE s = 'p' AND k >= 10 ORDER BY x , y;",
        "SELECT a.x FROM t WHERE s = 'p' AND k >= 10 ORDER BY x DESC ;",
    }
    assert all(text.startswith("SELECT") for text in changed)


def test_conditions_within_python_are_sql(made):
    text = 'no_rows("n > 1 is told", where="n <> 1 AND m IS NULL", reason="1 < 2")'
    assert 'no_rows("n > 1 is told", where="n <> 1 ", reason="1 < 2")' in made("x.py", text)


def test_python_mutants_can_be_read_and_are_many_of_every_file(mutate, mutation):
    for path in mutation.targets():
        text = (ROOT / path).read_text(encoding="utf-8")
        found = mutate.mutants(path, text)
        assert len(found) >= 4, path
        assert all(one.apply(text) != text for one in found)
        for one in found[::9] if path.endswith(".py") else ():
            ast.parse(one.apply(text))


def test_most_mutants_of_a_view_can_be_asked(mutate):
    """Those that can't are seen by any test: they cost time and show nothing."""
    path = ROOT / "warehouse" / "sql" / "views" / "60_significance.sql"
    text = path.read_text(encoding="utf-8")
    found = mutate.mutants(path.name, text)
    with duckdb.connect() as connection:
        good = [one for one in found if _parses(connection, one.apply(text))]
    assert len(good) > 0.95 * len(found)


def _parses(connection: duckdb.DuckDBPyConnection, text: str) -> bool:
    try:
        return len(connection.extract_statements(text)) > 0
    except duckdb.ParserException:
        return False


def test_the_sample_is_the_same_each_time_and_of_every_file(mutation):
    chosen = mutation.choose([""], None, 100, 7)
    assert chosen == mutation.choose([""], None, 100, 7)
    assert {one.path for one in chosen} == set(mutation.targets())


def test_every_file_of_tests_is_there(mutation):
    for path in mutation.targets():
        assert all((ROOT / name).is_file() for name in mutation.tests_of(path))


def test_what_is_accepted_is_still_a_mutant(mutation, mutate):
    """Otherwise its reason is of code that is gone."""
    for path, before, after in mutation.ACCEPTED:
        found = mutate.mutants(path, (ROOT / path).read_text(encoding="utf-8"))
        assert (before, after) in {(one.before, one.after) for one in found}, (path, before)


@pytest.mark.slow
def test_published_trainings_alone_count_in_metrics():
    """Without this condition of the view every test once passed."""
    line = 1 + _lines("warehouse/sql/views/26_imports.sql").index("WHERE status = 'published'")
    command = ["benchmarks/mutation.py", "--only", "26_imports", "--line", str(line), "--left-out"]
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)
    assert "survived" not in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr


def _lines(path: str) -> list[str]:
    return (ROOT / path).read_text(encoding="utf-8").splitlines()

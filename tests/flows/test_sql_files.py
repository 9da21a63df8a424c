"""`fpt sql --output`: files that keep types, and spreadsheets that no text can steer."""

import re
import zipfile

import duckdb
import pytest

QUESTION = """SELECT 1::TINYINT AS a, 0.1::DECIMAL(4, 2) AS b, DATE '2026-02-03' AS c,
    TIMESTAMP '2026-02-03 04:05:06.789' AS d, [1, 2] AS e, NULL::BIGINT AS f, true AS g,
    '=1+1' AS h, 'plain' AS i, 12345678901234567890::HUGEINT AS j, 0.25::DOUBLE AS k,
    'nan'::DOUBLE AS l, 3 AS a, DATE '1850-01-01' AS m"""


@pytest.fixture
def write(empty, fpt, tmp_path):
    """Ask into a file of that ending."""

    def go(question: str, ending: str):
        path = tmp_path / f"answer.{ending}"
        return path, fpt("sql", question, "--output", path, home=empty)

    return go


def test_parquet_keeps_types(write):
    path, done = write(QUESTION, "parquet")
    assert done.code == 0, done.err
    assert done.out == ""
    assert done.err == f"Written: {path}, {path.stat().st_size:,} bytes\n"
    found = duckdb.sql(f"SELECT * EXCLUDE (l) FROM '{path}'")
    types = dict(zip(found.columns, map(str, found.types), strict=True))
    assert types == {
        **{"a": "TINYINT", "b": "DECIMAL(4,2)", "c": "DATE", "d": "TIMESTAMP", "e": "INTEGER[]"},
        **{"f": "BIGINT", "g": "BOOLEAN", "h": "VARCHAR", "i": "VARCHAR"},
        **{"j": "DECIMAL(38,0)", "k": "DOUBLE", "a_1": "INTEGER", "m": "DATE"},
    }
    values = found.fetchall()[0]
    assert values[7] == "=1+1"
    assert values[9] == 12345678901234567890  # DuckDB's own writer would round it


def test_sums_are_in_parquet_to_the_last_digit(write):
    """A sum of integers is a HUGEINT, which DuckDB would write as a float."""
    question = (
        "SELECT sum(n) AS total, [sum(n)] AS listed FROM (VALUES (9007199254740990), (3)) t(n)"
    )
    path, done = write(question, "parquet")
    assert done.code == 0, done.err
    assert duckdb.sql(f"FROM '{path}'").fetchall() == [(2**53 + 1, [2**53 + 1])]


def test_csv_keeps_its_guard(write):
    path, done = write("SELECT '=1+1' AS h, 2 AS n", "csv")
    assert done.code == 0, done.err
    assert path.read_text() == "h,n\n'=1+1,2\n"


def test_a_workbook_has_numbers_times_and_no_formula(write):
    path, done = write(QUESTION, "xlsx")
    assert done.code == 0, done.err
    with zipfile.ZipFile(path) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
        styles = book.read("xl/styles.xml").decode()
    assert "<f>" not in sheet
    cells = dict(re.findall(r'<c r="([A-N]2)"([^>]*>.*?)</c>', sheet))
    value = {place: re.sub(r"<[^>]*>", "", cell.partition(">")[2]) for place, cell in cells.items()}
    kind = {place: (re.findall(r't="(\w+)"', cell) or ["n"])[0] for place, cell in cells.items()}
    assert {place: value[place] for place in ("A2", "B2", "K2", "M2")} == {
        **{"A2": "1", "B2": "0.1", "K2": "0.25", "M2": "3"}
    }
    assert value["C2"] == "46056"  # days since 1899-12-30
    assert float(value["D2"]) == pytest.approx(46056 + (4 * 3600 + 5 * 60 + 6.789) / 86400)
    assert (kind["G2"], value["G2"]) == ("b", "1")
    texts = {"E2": "[1, 2]", "H2": "=1+1", "I2": "plain", "J2": "12345678901234567890"}
    texts |= {"L2": "nan", "N2": "1850-01-01"}
    assert {place: value[place] for place in texts} == texts
    assert {kind[place] for place in texts} == {"inlineStr"}
    assert "F2" not in cells  # null
    # text that may be taken for a formula is marked as text, as if typed after '
    styled = {place for place in texts if ' s="' in cells[place].partition(">")[0]}
    assert styled == {"H2"}
    assert "quotePrefix" in styles


def test_what_does_not_fit_a_workbook_is_refused_and_leaves_no_file(write):
    path, done = write("SELECT repeat('x', 40000) AS x", "xlsx")
    assert done.code != 0
    assert "does not fit into a spreadsheet: got a cell of 40,000 characters" in done.err
    assert list(path.parent.iterdir()) == []


def test_an_unknown_ending_is_refused_before_anything_is_asked(write):
    path, done = write("SELECT 1", "doc")
    assert done.code != 0
    assert "expected .parquet or .csv or .xlsx or .json" in done.err
    assert not path.exists()


def test_an_answer_without_rows_has_its_columns(empty, fpt):
    def ask(*words: str):
        return fpt("sql", *words, home=empty)

    table = ask("recommendations")
    assert table.out.split()[:3] == ["user", "rank", "title"]
    columns = "user, rank, title, genres, score, model, created_at, run_id"
    said = f"No rows of {columns}; `fpt recommend --all` makes some\n"
    assert table.err == said
    assert ask("recommendations", "--format", "csv").out == columns.replace(" ", "") + "\n"
    as_json = ask("recommendations", "--json")
    assert (as_json.out, as_json.err) == ("[]\n", said)
    assert ask("SELECT 1 AS x WHERE false").err == "No rows of x\n"
    wrong = ask("SELECT 1", "k=2")
    assert wrong.code != 0
    assert "Only questions with a name have settings" in wrong.err

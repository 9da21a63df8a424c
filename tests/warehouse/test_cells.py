"""Every type of DuckDB as text, JSON and CSV; text that can't steer a terminal or a spreadsheet."""

import csv
import io
import json
import math
from functools import cache
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.cells import SHOWN_CHARACTERS, SHOWN_ROWS, Format, columns, select_list, write
from warehouse.visible import as_text, csv_line, printable

SPREADSHEET_STARTS = "=+-@\t\r\n＝＋－＠"


@cache
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def answer(question: str, form: Format, parameters: tuple = ()) -> str:
    relation = database().sql(question, params=list(parameters) or None)
    of = columns(relation.columns, relation.types)
    file = io.StringIO()
    write(relation.project(select_list(of, form)).fetchall(), of, form, file)
    return file.getvalue()


def value(expression: str):
    (row,) = json.loads(answer(f"SELECT {expression} AS x", "json"), parse_constant=pytest.fail)
    return row["x"]


# expression, as DuckDB shows it, its JSON
TYPES = json.loads(Path(__file__).parents[1].joinpath("types.json").read_text(encoding="utf-8"))


def selected() -> str:
    return "SELECT " + ", ".join(f"{one} AS t{place}" for place, (one, *_) in enumerate(TYPES))


def test_the_table_has_every_type_of_duckdb():
    kinds = {one.id.upper() for one in database().sql(selected()).types}
    known = database().sql("SELECT DISTINCT logical_type FROM duckdb_types()").fetchall()
    assert kinds == {name for (name,) in known}


@pytest.mark.parametrize(("expression", "text", "as_json"), TYPES)
def test_a_value_is_shown_as_duckdb_shows_it_and_is_json(expression, text, as_json):
    question = f"SELECT {expression} AS x"
    table = json.loads(answer(question, "table"))
    assert table["rows"] == [[text]]
    assert table["names"] == ["x"]
    (head, (cell,)) = csv.reader(io.StringIO(answer(question, "csv")))
    assert head == ["x"]
    assert cell == ("'" + text if text in ("-infinity", "-inf") else text or "")
    written = answer(question, "json").removeprefix('[{"x": ').removesuffix("}]\n")
    whole = {"parse_float": str, "parse_constant": pytest.fail}  # to the digit
    assert json.loads(written, **whole) == json.loads(as_json, **whole)


def test_what_is_no_json_though_duckdb_takes_it_becomes_text():
    assert value("['[1,]'::JSON]") == [[1]]  # to_json mends it
    assert value("'[nan, -Infinity, \"NaN\"]'::JSON") == [None, None, "NaN"]
    assert value("{'j': '1e999'::JSON}") == {"j": math.inf}  # a number, if a large one


def test_names_that_come_twice_get_a_number():
    (row,) = json.loads(answer('SELECT 1 AS a, 2 AS a, 3 AS "a""b"', "json"))
    assert row == {"a": 1, "a_1": 2, 'a"b': 3}


def test_numbers_of_a_spreadsheet_stay_numbers_and_nothing_starts_a_formula():
    question = """SELECT -5 AS n, -0.5::DECIMAL(3,1) AS d, -1e-9::DOUBLE AS e, '-5' AS t,
        '=cmd()' AS "=name", chr(9) || '=x' AS tab, '''=y' AS quoted, '''tis' AS "free",
        '-inf'::DOUBLE AS endless, '' AS empty, NULL AS nothing, INTERVAL '-1 day' AS i"""
    head, row = answer(question, "csv").splitlines()
    assert head == "n,d,e,t,'=name,tab,quoted,free,endless,empty,nothing,i"
    assert row == "-5,-0.5,-1e-09,'-5,'=cmd(),'\\t=x,''=y,'tis,'-inf,\"\",,'-1 day"


@given(st.lists(st.text() | st.none(), min_size=1))
def test_cells_of_text_are_one_row_without_control_characters_or_formulas(cells):
    line = csv_line(cells, [False] * len(cells))
    assert all(char.isprintable() or char == "\n" for char in line)
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert len(row) == len(cells)
    assert not any(cell.lstrip()[:1] in tuple(SPREADSHEET_STARTS) for cell in row)
    assert row == ["" if cell is None else printable(as_text(cell)) for cell in cells]


@given(st.text(alphabet="'=+-@ \tab"))
def test_the_apostrophe_can_be_taken_back(text):
    def taken_back(cell: str) -> str:
        return cell[1:] if cell[:1] == "'" and as_text(cell[1:]) != cell[1:] else cell

    assert taken_back(as_text(text)) == text


@given(st.text(), st.lists(st.floats() | st.none()), st.integers(-(2**127), 2**127 - 1))
def test_what_comes_back_from_json_is_what_went_in(text, fractions, number):
    question = "SELECT ?::VARCHAR AS s, ?::DOUBLE[] AS f, ?::HUGEINT AS n, {'s': ?::VARCHAR} AS o"
    text = text.encode("utf-8", "ignore").decode()  # half a pair of surrogates is no text
    (row,) = json.loads(answer(question, "json", (text, fractions, str(number), text)))
    finite = [one if one is not None and math.isfinite(one) else None for one in fractions]
    assert row == {"s": text, "f": finite, "n": number, "o": {"s": text}}


def test_a_screen_gets_no_more_than_it_can_take():
    table = json.loads(answer(f"SELECT range FROM range({SHOWN_ROWS})", "table"))
    assert (len(table["rows"]), table["more"]) == (SHOWN_ROWS, False)
    table = json.loads(answer(f"SELECT range FROM range({SHOWN_ROWS + 1})", "table"))
    assert (len(table["rows"]), table["more"]) == (SHOWN_ROWS, True)
    table = json.loads(answer("SELECT repeat('x', 9999) FROM range(200)", "table"))
    assert (len(table["rows"]), table["more"]) == (SHOWN_CHARACTERS // 9999, True)
    table = json.loads(answer("SELECT repeat('x', 2000000)", "table"))
    ((cell,),) = table["rows"]
    assert cell == "x" * 10_000 + "… (2,000,000 characters)"
    assert not table["more"]

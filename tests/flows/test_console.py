"""What the terminal, a pipe and a script get to see; which parameters are refused."""

import io
import json
import math
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import Progress

from flows import console, shown
from flows.parameters import HEADLINE, Experiment
from tasks import progress
from warehouse.errors import RefusedError

ROW = {"model": "sas_fpt", "ndcg": 0.80561, "seed": 0, "gap": None}
HOSTILE = "\x1b[31mred\x1b[0m [bold]x[/bold] [/] \u202e\r"
PLACES = ("name", "cell", "title")


def screen(*, terminal: bool, width: int = 80) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width)


@pytest.fixture
def pipe(monkeypatch) -> io.StringIO:
    monkeypatch.setattr(console, "out", screen(terminal=False))
    return console.out.file


@pytest.fixture
def terminal(monkeypatch) -> io.StringIO:
    monkeypatch.setattr(console, "out", screen(terminal=True))
    return console.out.file


@pytest.fixture
def errors(monkeypatch) -> io.StringIO:
    monkeypatch.setattr(console, "err", screen(terminal=False, width=40))
    return console.err.file


@pytest.fixture
def reporter(monkeypatch):
    """The reporter in use is put back afterwards."""
    monkeypatch.setattr(progress, "_reporter", progress.LogReporter())


def test_on_a_narrow_screen_no_column_is_lost(monkeypatch):
    rows = [{"user": 1, "title": "The Hidden Road", "genres": "Drama|War", "score": 1.7444}]
    for width, expected in (
        (47, ["Best", "user title genres score", "1 The Hidden Road Drama|War 1.7444"]),
        (
            37,
            [
                "Best",
                "─── 1",
                "user 1",
                "title The Hidden Road",
                "genres Drama|War",
                "score 1.7444",
            ],
        ),
    ):
        monkeypatch.setattr(console, "out", screen(terminal=False, width=width))
        console.show_rows([row | {"gap": None} for row in rows], "Best")
        lines = [" ".join(line.split()) for line in console.out.file.getvalue().splitlines()]
        assert [line for line in lines if line.strip("─ ") and line] == expected


def test_where_there_is_no_row_the_title_says_so(pipe):
    console.show_rows([], "Brought up to date")
    assert pipe.getvalue() == "Brought up to date: nothing\n"


def test_a_table_has_a_title_words_for_names_and_no_empty_column(pipe):
    console.show_rows([ROW, ROW | {"model": "sasrec", "n_seeds": 1}], "Test metrics")
    title, head, rule, *rows = [line for line in pipe.getvalue().splitlines() if line.strip()]
    assert title.strip() == "Test metrics"
    assert head.split() == ["model", "ndcg", "seed"]
    assert set(rule.strip()) == {"─"}
    assert [row.split() for row in rows] == [["sas_fpt", "0.8056", "0"], ["sasrec", "0.8056", "0"]]


def test_a_column_with_one_value_stays(pipe):
    console.show_rows([ROW, ROW | {"gap": 1.0}], "")
    assert pipe.getvalue().split()[-1] == "1"


def test_no_rows_are_told(pipe):
    console.show_rows([], "Plan")
    assert "Plan" in pipe.getvalue()
    assert "nothing" in pipe.getvalue()


def test_a_pipe_gets_no_colours_and_a_terminal_does(pipe, monkeypatch):
    console.show_rows([ROW], "Doctor")
    assert "\x1b" not in pipe.getvalue()
    monkeypatch.setattr(console, "out", screen(terminal=True))
    console.show_rows([ROW], "Doctor")
    assert "\x1b[" in console.out.file.getvalue()


@pytest.mark.parametrize("place", PLACES)
def test_names_from_outside_cannot_steer_the_terminal(terminal, place):
    name, cell, title = (HOSTILE if place == part else "-" * 50 for part in PLACES)
    console.show_rows([{name: cell}], title)
    seen = terminal.getvalue()
    assert "\x1b[31m" not in seen
    assert "\u202e" not in seen
    assert "\r" not in seen
    assert "[bold]x[/bold]" in seen


def test_a_long_value_is_folded_and_not_cut(pipe):
    console.show_rows([{"command": "x" * 300}], "")
    assert pipe.getvalue().count("x") == 300


def test_json_is_json_and_nothing_else(terminal):
    odd = ROW | {"title": HOSTILE, "at": datetime(2026, 1, 1), "path": Path("a")}
    console.show_rows([odd], "Title", as_json=True)
    (line,) = terminal.getvalue().splitlines()
    expected = odd | {"at": "2026-01-01 00:00:00", "path": "a"}
    assert json.loads(line) == [expected]


def test_numbers_in_json_are_json(pipe):
    row = {"sd": math.nan, "most": math.inf, "share": Decimal("0.25"), "ndcg": 0.5}
    console.show_rows([row], "", as_json=True)
    assert json.loads(pipe.getvalue(), parse_constant=pytest.fail) == [
        {"sd": None, "most": None, "share": 0.25, "ndcg": 0.5}
    ]


def test_a_huge_fraction_is_short(pipe):
    console.show_rows([{"x": 1e300, "y": 2.5, "z": math.nan}], "")
    assert pipe.getvalue().split()[-3:] == ["1e+300", "2.5000", "nan"]


def test_no_rows_are_an_empty_list_in_json(pipe):
    console.show_rows([], "Title", as_json=True)
    assert pipe.getvalue() == "[]\n"


def test_an_error_is_one_line_without_markup_or_control_characters(errors):
    console.fail(f"Not fetched: {HOSTILE} " + "x" * 100)
    assert errors.getvalue().startswith("error: Not fetched: \\x1b[31mred")
    assert "[bold]x[/bold]" in errors.getvalue()
    assert errors.getvalue().count("\n") == 1


def test_bars_tell_the_step_its_share_and_a_note(reporter):
    board = screen(terminal=False)
    columns = "{task.description} {task.percentage:.0f}% {task.fields[note]}"
    with Progress(columns, console=board) as bars:
        progress.use(shown.BarReporter(bars))
        progress.report("train sas_fpt", 1, 4, "epoch 1")
        progress.advancing("train sas_fpt")(3, 4)
        progress.report("train sas_fpt", 2, 4, "epoch 2")
        progress.advancing("fetch")(4, 4)
        progress.note(f"took a note [bold]{HOSTILE}")
    seen = board.file.getvalue()
    assert "took a note [bold]\\x1b[31mred" in seen
    assert "train sas_fpt 50% epoch 2" in seen
    assert "fetch 100%" in seen
    assert seen.count("train sas_fpt") == 1


def test_progress_goes_to_stderr_and_never_into_the_json(reporter, errors, pipe):
    with shown.progress() as lines:
        progress.use(lines)
        progress.report("land", 5, 10, "")
        console.show_rows([ROW], "", as_json=True)
        progress.report("land", 10, 10, "")
    assert json.loads(pipe.getvalue()) == [ROW]
    assert errors.getvalue() == "land: begins\nland: 100%, after 0 s\n"


def test_a_pipe_is_wide_enough_for_a_table():
    code = "from flows import console; print(console.out.width)"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={}
    )
    assert answer.stdout == "160\n"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dataset", "ml 1m"),  # any other word may be the name of own data
        ("dataset", "../ml-1m"),
        ("source", 7),
        ("retentions", ["6-core"]),
        ("models", ["sas_fpt", "gpt"]),
        ("models", "sas_fpt"),
        ("preset", "huge"),
        ("seeds", 0),
        ("seeds", 1001),
        ("seeds", 1.5),
        ("device", "tpu"),
        ("gpus", 0),
        ("together", "perhaps"),
        ("max_rejects", -1),
        ("home", 7),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(field, value):
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Experiment).validate_python({field: value})
    assert {error["loc"][0] for error in caught.value.errors()} == {field}


def test_right_parameters_are_taken_and_the_rest_has_defaults():
    asked = TypeAdapter(Experiment).validate_python(
        {"dataset": "ml-1m", "seeds": 1000, "max_rejects": 0, "source": "a.zip"}
    )
    assert asked == Experiment(dataset="ml-1m", seeds=1000, source=Path("a.zip"))
    assert asked.models == HEADLINE
    assert asked.models_on("5-core") == asked.models_on("cold-start") == HEADLINE


def test_the_paper_has_four_models_in_one_table_and_two_in_the_other():
    asked = Experiment(retentions=("5-core", "cold-start"), models=None, seeds=5)
    models = {kind: asked.models_on(kind) for kind in asked.retentions}
    assert models["5-core"] == ("tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt")
    assert models["cold-start"] == ("tisasrec", "sas_fpt")
    assert asked.seeds * sum(map(len, models.values())) == 30


def test_teachers_are_not_asked_for_where_each_training_takes_all_gpus():
    """Before anything is landed: the engine of such trainings would refuse them after that."""
    asked = Experiment(models=["sasrec", "ease"], preset="best_taught", together=True)
    for refused in (asked.preset_names, lambda: asked.trainings_on("5-core")):
        with pytest.raises(RefusedError, match=r"got --together, and preset best_taught\. Leave"):
            refused()
    assert replace(asked, preset="best").preset_names() == ["best"]
    assert replace(asked, together=False).preset_names() == ["best_taught"]


def test_words_are_not_broken_to_spare_blanks(monkeypatch):
    monkeypatch.setattr(console, "out", screen(terminal=True, width=60))
    row = {"data": "synthetic", "model": "popularity", "full_recall_10": 0.25, "full_ndcg_10": 0.5}
    console.show_rows([row], "")
    assert "popularity" in console.out.file.getvalue()
    assert "synthetic" in console.out.file.getvalue()

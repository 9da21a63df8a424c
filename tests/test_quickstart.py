"""What the first minutes claim: figures by hand, a page that shows what is recorded."""

import importlib
import json
import math
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("quickstart")


@pytest.fixture
def minutes(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("first_minutes")


def test_a_difference_is_of_pairs_with_students_interval(script):
    gains = [0.01, 0.03] * 5  # mean .02, sample deviation .0105409
    scores = {("w", "a"): [0.5 + gain for gain in gains], ("w", "b"): [0.5] * 10}
    half = 2.262 * 0.0105409 / math.sqrt(10)
    assert script._difference(scores, "w", "a", "b") == {
        "difference": 0.02,
        "low": round(0.02 - half, 4),
        "high": round(0.02 + half, 4),
    }


@pytest.mark.parametrize(
    ("popularity", "gain", "without", "holds"),
    [
        (0.05, 0.01, -0.004, True),
        (-0.05, 0.01, -0.004, False),  # the models are below popularity
        (0.05, -0.001, -0.004, False),  # SAS-FPT gains nothing
        (0.05, 0.01, 0.002, False),  # and gains without what it should gain by
    ],
)
def test_it_holds_only_if_every_part_of_it_does(script, popularity, gain, without, holds):
    lows = {
        ("all signals", "tisasrec", "popularity"): popularity,
        ("all signals", "sas_fpt", "tisasrec"): gain,
        ("no season", "sas_fpt", "tisasrec"): without,
    }
    rows = [
        {"world": world, "model": model, "over": over, "low": low}
        for (world, model, over), low in lows.items()
    ]
    assert script._holds(rows) is holds


def test_scores_are_those_of_the_test_items_among_100(script, tmp_path):
    rows = [
        ("test", "uniform_100", 1.0),
        ("test", "uniform_100", 10.0),
        ("test", "uniform_100", 11.0),
    ]
    rows += [("valid", "uniform_100", 99.0), ("test", "full", 99.0)]
    pl.DataFrame(rows, ["split", "protocol", "rank"], orient="row").write_parquet(tmp_path / "r")
    places = script._ranks(tmp_path / "r")
    assert script._recall(places) == pytest.approx(2 / 3)
    assert script._ndcg(places) == pytest.approx((1 + 1 / math.log2(11)) / 3)


def test_the_page_shows_what_is_recorded_and_it_holds(script):
    found = json.loads(script.RESULTS.read_text())
    text = script.PAGE.read_text()
    assert found["holds"]
    assert script.replaced(text, "quickstart", script.table(found)) == text


def test_a_step_is_what_a_terminal_shows(minutes, tmp_path):
    shown = minutes.played(minutes.Step("Help.", ("--help",)), tmp_path, timeout=60)
    assert shown.code == 0
    assert any("Usage: fpt" in line for line in shown.lines)
    assert not any("\x1b" in line for line in shown.lines)
    assert 0 < shown.first <= shown.whole


def test_a_long_answer_is_cut_and_says_so(minutes):
    lines = [str(number) for number in range(minutes.SHOWN + 2)]
    assert minutes.cut(lines)[-2:] == [str(minutes.SHOWN - 1), "… 2 more lines"]
    assert minutes.cut(lines[: minutes.SHOWN]) == lines[: minutes.SHOWN]

"""What the first minutes claim: figures by hand, a page that shows what is recorded."""

import importlib
import json
import math

import harness
import pytest


@pytest.fixture
def script():
    return importlib.import_module("quickstart")


@pytest.fixture
def minutes():
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


def test_the_page_shows_what_is_recorded_and_it_holds(script):
    found = json.loads((script.RESULTS / "quickstart.json").read_text())
    text = script.PAGE.read_text()
    assert found["holds"]
    assert harness.replaced(text, "quickstart", script.shown(found)) == text


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

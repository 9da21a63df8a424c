"""The backtest's figures as tables: places by what came next and by leave-one-out."""

import doctest
import importlib

import pytest


@pytest.fixture(scope="module")
def by_time():
    return importlib.import_module("by_time")


def row(day, model, came_next, left_out, protocol="full", waited="all"):
    return {
        "as_of": day, "model": model, "display_name": model.upper(), "protocol": protocol,
        "waited": waited, "ndcg_10": came_next, "left_out_ndcg_10": left_out,
        "ndcg_gap": left_out - came_next, "low": -0.01, "high": 0.5, "n_users": 7,
    }  # fmt: skip


ROWS = [
    row("2000-08-01", "a", 0.1, 0.4),
    row("2000-08-01", "b", 0.2, 0.3),
    row("2000-08-01", "b", 0.9, 0.9, waited="under a day"),
    row("2000-12-15", "a", 0.3, 0.5),
    row("2000-08-01", "a", 0.6, 0.8, "uniform_100"),
]


def test_each_cell_has_both_figures_and_their_places(by_time):
    lines = by_time.markdown(ROWS, "full").splitlines()
    assert lines[0] == "| model | 2000-08-01, 7 users | 2000-12-15, 7 users |"
    # whoever is best after the last day stands first; who was not ranked then is left out
    assert lines[2] == "| A | .1000 (2), .4000 (1) | .3000 (1), .5000 (1) |"
    assert len(lines) == 3


def test_gaps_have_their_intervals(by_time):
    assert by_time.gaps(ROWS).splitlines()[2] == (
        "| A | +.3000 (-.0100 to +.5000) | +.2000 (-.0100 to +.5000) |"
    )


def test_a_picture_has_a_line_for_each_model(by_time, tmp_path):
    by_time.draw(ROWS, tmp_path / "x.svg")
    drawn = (tmp_path / "x.svg").read_text()
    assert drawn.count(">A</text>") == drawn.count(">B</text>") == 1
    assert drawn.count("<polyline") == 2 + 4 + 2  # the legend, both models, a alone
    assert drawn.count("NDCG@10 among ") == 4


def test_users_of_several_days_count_as_one():
    """Two users, whose two days are alike: the interval is that of two values, not of four."""
    by_time = importlib.import_module("by_time")
    assert doctest.testmod(by_time).failed == 0
    gains = {
        ("sas_fpt", protocol): {(1, "a"): (1.0, 0.5), (1, "b"): (1.0, 0.5), (2, "a"): (0.0, 0.5)}
        for protocol in by_time.PROTOCOLS
    }
    gains |= {
        ("ridge", protocol): {(1, "a"): (0.0, 0.5), (1, "b"): (0.0, 0.0), (3, "a"): (1.0, 1.0)}
        for protocol in by_time.PROTOCOLS
    }
    row = by_time.compared(gains, "sas_fpt", "ridge")
    assert (row["n"], row["users"]) == (2, 1)
    assert row["full_left_out"] == [1.0, 1.0, 1.0]
    assert row["full_came_next"] == [0.25, 0.25, 0.25]  # one user: no spread is known
    line = by_time.leads([row], {"sas_fpt": "SAS-FPT", "ridge": "Ridge"}).splitlines()[2]
    assert line.startswith("| SAS-FPT less Ridge | +1.0000 (+1.0000 to +1.0000) | +.2500 (")


def test_the_page_tells_what_is_kept(by_time):
    told = by_time.sections(by_time.read_json(by_time.KEPT))
    assert all(body in by_time.PAGE.read_text() for body in told.values())

"""The benchmark of a step of `best`: what it freezes, divides and draws."""

from types import SimpleNamespace

import best_step
import pytest
from timing import BEST, HEADS_ALIKE

from fpt_model.config import resolve


def test_a_cliff_is_a_step_beside_the_mean_of_its_neighbours():
    steps = {"heads of 48": 2044.0, "heads of 52": 3409.0, "heads of 56": 2449.0}
    assert best_step.cliff(steps) == pytest.approx(1.5175, abs=1e-4)


def test_settings_are_those_of_a_commit_whatever_the_preset_becomes(tmp_path):
    frozen = resolve("sas_fpt", "paper", BEST)
    assert (frozen.width, frozen.heads, frozen.blocks, frozen.max_length) == (208, 4, 3, 200)
    assert (frozen.group_weight, frozen.group_pairs, frozen.sse_user) == (0.01, 100, 0.9)
    assert [resolve("sas_fpt", "paper", one).width for one in HEADS_ALIKE.values()] == [
        192,
        208,
        224,
    ]
    jobs = best_step.jobs_of(tmp_path / "sequences.parquet")
    assert [job["seed"] for job in jobs] == [0, 1, 2, 3, 4]
    assert all(job["config"]["item_width"] == 128 for job in jobs)


def test_steps_of_each_number_of_heads_are_a_line(tmp_path):
    points = [
        {"heads": heads, "width": width, "step": 1000.0 * heads + width}
        for heads in (1, 4)
        for width in (192, 208)
    ]
    best_step.plot(points, tmp_path / "heads.svg")
    drawn = (tmp_path / "heads.svg").read_text(encoding="utf-8")
    assert drawn.count("<circle") == 4
    assert "1 head<" in drawn
    assert "4 heads<" in drawn


def test_both_sides_are_beside_each_other(capsys, monkeypatch):
    monkeypatch.setattr(best_step, "facts", lambda: {"device": "a GPU", "versions": {}})
    found = best_step.figure("best_step", "µs a step", 1500.0, 3000.0)
    assert (found.ours, found.reference, found.ratio) == (1500.0, 3000.0, 2.0)
    assert capsys.readouterr().out == "best_step 1500, before 3000\n"


def test_every_combination_is_swept(monkeypatch):
    timed = []
    monkeypatch.setattr(best_step, "load", lambda path: path)
    monkeypatch.setattr(best_step, "compile_ahead", lambda configs, *_: timed.append(len(configs)))
    monkeypatch.setattr(best_step, "step_of", lambda data, one, rounds: one["item_width"] + rounds)
    asked = SimpleNamespace(sequences="S", heads=[1, 4], widths=[192, 208], rounds=3)
    points = best_step.sweep(asked)
    assert timed == [4]
    assert points[-1] == {"heads": 4, "width": 208, "step": 147}

"""The comparison of engines over seeds: its statistics by hand, and the whole of it on a CPU."""

import importlib
import json
import sys
from math import sqrt

import pytest


@pytest.fixture
def equal_quality(monkeypatch):
    module = importlib.import_module("equal_quality")
    monkeypatch.setattr(module, "LOOK_EVERY", 0.2)
    return module


def test_the_interval_is_students(equal_quality):
    found = equal_quality.equivalence([0.001, 0.002, 0.003])
    half = 2.920 * 0.001 / sqrt(3)  # t of two degrees of freedom; the standard deviation is 0.001
    assert found["difference"] == 0.002
    assert found["interval_90"] == pytest.approx([0.002 - half, 0.002 + half], abs=1e-6)
    assert found["equivalent"]


@pytest.mark.parametrize(
    ("differences", "equivalent"),
    [
        ([0.0, 0.0], True),
        ([0.004, 0.004, 0.004], True),
        ([-0.006, -0.006, -0.006], False),
        ([0.005, 0.005], False),
        ([-0.004, 0.004], False),  # no difference in the mean, but anything may be true
        ([-0.004, 0.004] * 5, True),  # the same of five times as many
    ],
)
def test_only_an_interval_within_the_margin_is_equivalence(differences, equivalent, equal_quality):
    assert equal_quality.equivalence(differences)["equivalent"] is equivalent


@pytest.mark.slow
def test_it_goes_on_where_it_was_stopped_and_pairs_the_seeds(
    equal_quality, learnable, tmp_path, monkeypatch, capsys
):
    folder, output = tmp_path / "trained", tmp_path / "found.json"
    words = ["--sequences", learnable, "--folder", folder, "--output", output, "--device", "cpu"]
    words += ["--seeds", 3, "--epochs", 2, "--validate-every", 1, "--workers", 2]
    words += ["--set", "item_width=8", "--set", "max_length=8", "--set", "batch_size=8"]

    def run(*others: object) -> int:
        monkeypatch.setattr(sys, "argv", ["equal_quality.py", *map(str, [*words, *others])])
        return equal_quality.main()

    assert run("--minutes", 0) == 1
    assert "the same command goes on" in capsys.readouterr().out
    ended = run()
    assert "auto 6 of 6 epochs  reference 6 of 6 epochs" in capsys.readouterr().out
    (row,) = json.loads(output.read_text())
    assert ended == int(not row["equivalent"])
    name = "tisasrec paper item_width=8 max_length=8 batch_size=8 cpu"
    assert (row["name"], row["seeds"]) == (name, [0, 1, 2])
    for side, where in (("fast", "auto"), ("reference", "reference")):
        for seed, value in enumerate(row[side]):
            record = json.loads((folder / f"runs/{where}-{seed}/run.json").read_text())
            assert record["seed"] == seed
            assert value == pytest.approx(record["valid_ndcg_10"], abs=1e-6)
        assert len(list((folder / "runs").glob(f"{where}-*/run.json"))) == 3
    assert not list(folder.rglob("ranks*"))  # the test split stays unread
    gaps = [a - b for a, b in zip(row["fast"], row["reference"], strict=True)]
    assert row["difference"] == pytest.approx(sum(gaps) / 3, abs=1e-6)

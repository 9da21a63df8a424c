"""Mixtures of finished trainings: whose scores they are, and who chooses."""

import json
import math
import re
import shutil
import sys

import harness
import mixture
import pytest
import torch

from fpt_model.data.sequences import load
from fpt_model.errors import ModelError
from fpt_model.training.ranking import load_ranker, rankers

SMALL = ("item_width=8", "max_length=8", "epochs=2", "validate_every=1")


@pytest.fixture
def trained(learnable, run_command, tmp_path):
    """Two seeds of a network, and a simple model beside them."""
    common = ("--sequences", learnable, "--device", "cpu")
    settings = [word for one in SMALL for word in ("--set", one)]
    runs = [tmp_path / str(seed) for seed in (0, 1)]
    for seed, run in enumerate(runs):
        words = ("--model", "sasrec", "--preset", "paper", "--seed", str(seed), *settings)
        assert run_command("train", *common, "--output", run, *words).code == 0
    ridge = tmp_path / "ridge"
    assert run_command("train", *common, "--output", ridge, "--model", "ridge").code == 0
    return runs, ridge


def test_a_mixture_ranks_by_the_mean_of_scores_and_another_model_by_its_weight(trained, learnable):
    (first, second), ridge = trained
    sequences = load(learnable)
    got = mixture.Mixture(sequences, (first, second), ridge).ranks("valid", 0.5)
    scores = []
    for run in (first, second, ridge):
        ranker = load_ranker(run, sequences)
        windows = sequences.windows(
            sequences.evaluated(),
            sequences.held_out(sequences.evaluated(), "valid"),
            ranker.window(int(sequences.lengths.max())),
        )
        scores.append(ranker.score(windows).detach())
    deviation = [math.sqrt(x.var().item()) for x in scores[2][:, 1:]]
    total = (scores[0] + scores[1]) / 2 + 0.5 * scores[2] / torch.tensor(deviation)[:, None]
    for user, rank in zip(got.users.tolist(), got.ranks["uniform_100"].tolist(), strict=True):
        row = user - 1
        place = int(sequences.starts[row] + sequences.held_out(torch.tensor([row]), "valid"))
        own = total[sequences.evaluated().tolist().index(row), sequences.items[place]]
        others = [c for c in sequences.candidates["valid"][row].tolist() if c]
        theirs = total[sequences.evaluated().tolist().index(row), others]
        assert rank == pytest.approx(
            1 + (theirs > own).sum().item() + (theirs == own).sum().item() / 2, abs=0.6
        )


def test_one_member_ranks_as_it_does_alone(trained, learnable):
    (first, _), _ = trained
    sequences = load(learnable)
    alone = load_ranker(first, sequences).ranks("test")
    mixed = mixture.Mixture(sequences, (first,)).ranks("test", 0.0)
    assert torch.equal(alone.users, mixed.users)
    assert (alone.ranks["full"] - mixed.ranks["full"]).abs().max() <= 1  # of another product


def test_a_member_that_was_trained_on_validation_items_is_not_asked_for_them(
    learnable, run_command, tmp_path
):
    run, sequences = tmp_path / "run", load(learnable)
    words = [word for one in (*SMALL, "refit=true") for word in ("--set", one)]
    words += ["--model", "sasrec", "--preset", "paper", "--device", "cpu", "--output", run]
    assert run_command("train", "--sequences", learnable, *words).code == 0
    answering, validated = rankers(run, sequences)
    for split, ranker in (("valid", validated), ("test", answering)):
        alone, mixed = ranker.ranks(split), mixture.Mixture(sequences, (run,)).ranks(split, 0.0)
        assert (alone.ranks["full"] - mixed.ranks["full"]).abs().max() <= 1  # of another product
    shutil.rmtree(run / "search")
    with pytest.raises(ModelError, match="search"):
        mixture.Mixture(sequences, (run,)).ranks("valid", 0.0)


def test_validation_chooses_and_test_is_not_read_unasked(trained, learnable, tmp_path, monkeypatch):
    (first, second), ridge = trained
    output, asked = tmp_path / "mixture.json", []
    ranks = mixture.Mixture.ranks
    monkeypatch.setattr(
        mixture.Mixture,
        "ranks",
        lambda self, split, weight: asked.append((split, weight)) or ranks(self, split, weight),
    )
    words = ["mixture.py", "--sequences", learnable, "--runs", first, second, "--beside", ridge]
    words += ["--weights", "0", "1", "--output", output, "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    mixture.main()
    assert asked == [("valid", 0.0), ("valid", 1.0)]
    found = json.loads(output.read_text())
    best = max(found["valid"], key=lambda row: row["full_ndcg_10"])
    assert (found["weight"], "test" in found) == (best["weight"], False)
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--test"])
    mixture.main()
    assert asked[-1] == ("test", best["weight"])
    found = json.loads(output.read_text())
    assert set(found["test"]) == {"members", "weight", *mixture.FIGURES}
    assert [one["seed"] for one in found["members"]] == [0, 1]
    assert (found["beside"]["model"], found["beside"]["seed"]) == ("ridge", 0)


def test_of_networks_alone_it_says_what_the_first_reach_from_one_to_all(trained, learnable):
    (first, second), _ = trained
    sequences = load(learnable)
    rows = mixture.tried(mixture.Mixture(sequences, (first, second)), (0.0, 1.0))
    expected = [mixture.Mixture(sequences, runs) for runs in ((first,), (first, second))]
    assert rows == [
        {"members": k, "weight": 0.0, **mixture.figures(one.ranks("valid", 0.0))}
        for k, one in enumerate(expected, 1)
    ]


def test_the_page_says_what_the_mean_of_five_seeds_reached():
    """By the record that the script wrote on a GPU."""
    found = harness.read_json(harness.RESULTS / "mixture.json")
    page = (harness.ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    said = re.search(r"\*\*The mean of five seeds' scores\*\*.*", page)
    assert said is not None
    figures = re.findall(r"(?<!\d)\.\d{4}", said[0])
    test = found["test"]
    expected = [test[name] for name in mixture.FIGURES]
    expected += [row["full_ndcg_10"] for row in found["valid"]]
    assert figures == [f"{value:.4f}".lstrip("0") for value in expected]
    assert [row["members"] for row in found["valid"]] == [1, 2, 3, 4, 5]
    assert test["members"] == len(found["members"]) == 5

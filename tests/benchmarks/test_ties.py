"""Order by lot and the evaluation without order: who is in the last second, and what is right."""

import importlib

import harness
import numpy as np
import polars as pl
import pytest
import torch

from fpt_model.data.sequences import load


@pytest.fixture(scope="module")
def ties():
    return importlib.import_module("ties")


@pytest.fixture
def sequences(user, write_sequences):
    """The first user's last three items share a second, the third's all; the second has no tie."""
    drawn = {"test_candidates": [6, 7], "valid_candidates": [6, 7]}
    rows = [
        user([1, 2, 3, 4, 5], times=[10, 20, 30, 30, 30], **drawn),
        user([5, 4, 3, 2], times=[10, 20, 30, 40], **drawn),
        user([1, 2, 3], times=[10, 10, 10], **drawn),
    ]
    return load(write_sequences(rows, 8))


def test_the_last_second(ties, sequences):
    assert ties.last_second(sequences).tolist() == [3, 1, 2]  # one item stays as input


def test_any_item_of_the_last_second_is_right(ties, sequences):
    """Scores are by item alone, so every rank can be counted."""
    seen = []

    def score(windows):
        seen.append(windows.items[:3])
        return torch.tensor([0.0, 1, 9, 5, 8, 2, 7, 5, 6]).expand(len(windows.users), -1)

    found = ties.unordered(score, sequences, 4)
    inputs = seen[0].tolist()
    assert inputs[0] == [0, 0, 1, 2]
    assert inputs[1] == [0, 5, 4, 3]
    assert inputs[2] == [0, 0, 0, 1]
    # best of 3, 4, 5 is 8: above 7 and 5 of the drawn; of items 6, 7, 8 none is above
    # user 2: item 2 has 9, user 3: item 2 again
    assert found["uniform_100"].tolist() == [1, 1, 1]
    assert found["full"].tolist() == [1, 1, 1]
    scores = torch.tensor([0.0, 9, 9, 5, 6, 2, 7, 6, 8]).expand(3, -1)
    own = ties.own_scores(scores, sequences, torch.arange(3), torch.tensor([3, 1, 2]))
    minus = float("-inf")
    assert own.tolist() == [[2, 6, 5], [9, minus, minus], [5, 9, minus]]
    others = ties.without_history(scores, sequences, torch.arange(3))
    assert others[0].tolist() == [minus] * 6 + [7, 6, 8]
    assert ties.best_rank(own, others).tolist() == [3.5, 1.5, 1]  # item 1 has 9, too


def test_users_whose_latest_timestamps_are_exact(ties, monkeypatch):
    """The second user's oldest rating is restored, the first user's is not among the latest two."""
    monkeypatch.setattr(ties, "LATEST", 2)
    ratings = pl.DataFrame(
        {"source_row": [1, 2, 3, 4, 5], "raw_user_id": [7, 7, 7, 8, 8], "raw_item_id": range(5)}
    )
    interactions = ratings.select(
        "raw_user_id", "raw_item_id", user_id=pl.col("raw_user_id") - 6
    ).with_columns(pl.col("raw_item_id"))
    estimated = pl.DataFrame({"file_row": [0, 3]}, schema={"file_row": pl.Int32})
    found = ties.exact_users(interactions, ratings.lazy(), estimated)
    assert found.tolist() == [True, False]


@pytest.mark.parametrize("time_reference", ["last", "query"])
def test_ranks_are_those_of_the_training(ties, learnable, run_command, tmp_path, time_reference):
    """Also where the time of the request is known, which the file itself does not say."""
    settings = {"max_length": 6, "item_width": 8, "week_width": 4, "user_width": 4, "epochs": 1}
    settings |= {"model": "sas_fpt", "preset": "paper", "time_reference": time_reference}
    one = harness.job(learnable, "run", settings, 0)
    harness.write_jobs(tmp_path / "jobs.json", [one])
    assert run_command("train-all", "--jobs", tmp_path / "jobs.json", "--device", "cpu").code == 0
    sequences = load(learnable)
    found = ties.ranked(ties.load_ranker(tmp_path / "run", sequences), "file")
    kept = pl.read_parquet(tmp_path / "run" / "ranks.parquet").filter(split="test")
    for protocol in ties.PROTOCOLS:
        own = kept.filter(protocol=protocol).sort("user_id")["rank"]
        assert found[protocol].tolist() == own.to_list()
        # where the last second has one item, order says nothing
        alone = ties.last_second(sequences)[sequences.evaluated()].numpy() == 1
        assert 0 < alone.sum() < len(alone)
        assert found[f"any-{protocol}"][alone].tolist() == found[protocol][alone].tolist()


def test_a_line_says_what_lots_lose(ties):
    rows = [
        {"model": "chain", "order": order, "seed": 0, "protocol": kind, "recall_10": value,
         "ndcg_10": value / 2}
        for order, kind, value in [
            ("file", "full", 0.2), ("lot-0", "full", 0.1), ("lot-1", "full", 0.2),
            ("lot-2", "full", 0.15), ("file", "any-full", 0.4),
        ]
    ]  # fmt: skip
    line = ties.markdown(rows, "full").splitlines()[2]
    assert line.startswith("| chain | .2000 | .1500 ± .0500 | -25.0 % | .4000 | .1000 |")


def test_epochs_are_chosen_on_validation():
    gain = importlib.import_module("where_the_gain_comes_from")
    good, bad = np.array([1.0, 2.0]), np.array([50.0, 60.0])
    epochs = {20: {"valid": bad, "test": good}, 40: {"valid": good, "test": bad}}
    row = gain.row_of("tisasrec", 0, epochs)
    assert row["best_epoch"] == 40
    assert row["test"] == row["test_shipped"] == [0.0, 0.0]
    assert row["valid_recall_10"] == [0.0, 1.0]
    assert gain.test(epochs, "chosen").tolist() == bad.tolist()
    cut = gain.upto(epochs, 20)
    assert gain.test(cut, "chosen").tolist() == good.tolist()
    found = {"sas-fpt": {0: epochs}, "tisasrec": {0: cut}}
    assert gain.cut_at(found, "sas-fpt", "tisasrec", 20)["ndcg_10"] == [0.0, 0.0, 0.0]
    assert gain.cut_at(found, "sas-fpt", "tisasrec", 40)["recall_10"] == [-1.0, -1.0, -1.0]
    assert [gain.twice(name) for name in ("sas-fpt", "sas-fpt-zeros", "ours-sas_fpt-second")] == [
        False, True, True,
    ]  # fmt: skip


def test_at_equal_steps_the_other_has_twice_the_epochs():
    """By hand: at 40 epochs the first has one of two users right, the second at 80 has both."""
    gain = importlib.import_module("where_the_gain_comes_from")
    first, both = np.array([1.0, 50.0]), np.array([1.0, 1.0])
    found = {
        "tisasrec-second": {seed: {40: {"test": first}, 80: {"test": both}} for seed in (0, 1)},
        "tisasrec": {0: {40: {"test": first}, 80: {"test": both}}, 1: {40: {"test": first}}},
    }
    row = gain.at_equal_steps(found, "tisasrec-second", "tisasrec")
    assert (row["seeds"], row["recall_10"][0], row["ndcg_10"][0]) == (1, -0.5, -0.5)
    at = [gain.at_epoch(found, "tisasrec-second", "tisasrec", epoch) for epoch in (40, 80, 120)]
    assert [one["seeds"] for one in at] == [2, 1, 0]
    assert [one["ndcg_10"] for one in at[:2]] == [[0.0] * 3, [0.0] * 3]
    line = gain.equal_steps([row], gain.NAMES).splitlines()[2]
    assert line.startswith("| TiSASRec, an empty second step, 40 epochs, less TiSASRec, as publi")
    assert "| 1 | -.5000 (-1.0000 to .0000) |" in line


def test_a_training_made_twice_is_compared_at_the_epochs_of_both():
    gain = importlib.import_module("where_the_gain_comes_from")
    one = {"tisasrec": {0: {40: {"test": np.array([1.0, 20.0])}, 80: {"test": np.array([1.0])}}}}
    again = {"tisasrec": {0: {40: {"test": np.array([1.0, 1.0])}}}}
    assert gain.repeated(one, again) == [
        {"variant": "tisasrec", "seed": 0, "epoch": 40, "same_ranks": 0.5, "ndcg_10": [0.5, 1.0]}
    ]


def test_our_second_step_is_adams_without_a_gradient(small_second):
    once, twice = small_second
    for trainer in (once, twice):
        trainer.engine.train()
    for name, parameter in once.model.named_parameters():
        state = once.engine.optimizer.state[parameter]
        mean = 0.9 * state["exp_avg"].double() / (1 - 0.9**2)
        square = 0.98 * state["exp_avg_sq"].double() / (1 - 0.98**2)
        expected = parameter.detach().double() - 1e-3 * mean / (square.sqrt() + 1e-8)
        found = dict(twice.model.named_parameters())[name].detach().double()
        torch.testing.assert_close(found, expected, msg=name)


@pytest.fixture
def small_second(learnable):
    """The reference engine once and twice a step, on the same draws."""
    second = importlib.import_module("second_step")
    sequences = load(learnable)
    config = second.settings("sas_fpt", 20)
    once = second.trainers_of(config, [0], sequences, "reference")[0]
    return once, second.twice_trainers(config, [0], sequences)[0]


def test_pages_tell_what_is_kept(ties):
    gain = importlib.import_module("where_the_gain_comes_from")
    told = gain.sections(gain.read_json(gain.KEPT))
    assert all(body in gain.PAGE.read_text() for body in told.values())
    assert ties.shown(gain.read_json(ties.KEPT)) in ties.PAGE.read_text()


def test_only_what_reached_the_shipped_epoch_is_told(tmp_path):
    gain = importlib.import_module("where_the_gain_comes_from")
    for name, epochs in (("tisasrec-100-1", (20, 40, 60)), ("sas-fpt-0", (20,))):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        for epoch in epochs:
            ranks = torch.tensor([2, 2 * epoch], dtype=torch.uint8)  # twice the ranks
            torch.save({"valid": ranks, "test": ranks}, folder / f"ranks-{epoch}.pt")
    found = gain.read(tmp_path)
    assert list(found) == ["tisasrec-100"]
    assert list(found["tisasrec-100"][1]) == [20, 40, 60]
    assert found["tisasrec-100"][1][40]["test"].tolist() == [1.0, 40.0]

"""What a training puts first: by hand, against plain sorting, and beside its own ranks."""

import pyarrow.parquet as pq
import pytest
import torch

from fpt_model.data.sequences import load
from fpt_model.evaluation.lists import LISTS
from fpt_model.evaluation.popularity import popularity
from fpt_model.evaluation.ranks import rank
from fpt_model.evaluation.top_items import highest
from fpt_model.training.ranking import list_loaded, load_ranker

MODELS = ["sas_fpt", "ridge", "recent_popularity"]
INF = float("inf")


@pytest.fixture
def run(run_command, learnable, tmp_path):
    """A finished training of a model, ranked."""

    def make(model: str):
        folder = tmp_path / model
        words = ("--model", model, "--preset", "quick", "--device", "cpu")
        epochs = ("--set", "epochs=1") if model == "sas_fpt" else ()
        given = ("train", "--sequences", learnable, "--output", folder, *words, *epochs)
        assert run_command(*given).code == 0
        ranked = ("evaluate", "--sequences", learnable, "--run", folder, "--device", "cpu")
        assert run_command(*ranked).code == 0
        return folder

    return make


def test_the_highest_by_hand():
    scores = torch.tensor([[9.0, 1, 3, 3, 2, 3], [9.0, -INF, -INF, 5, -INF, -INF]])
    values, items = highest(scores, 2)
    assert values.tolist() == [[3, 3], [5, -INF]]
    assert items[0].tolist() == [2, 3]  # of three equal ones the first; padding is none
    assert items[1, 0] == 3
    assert highest(scores, 50)[0].shape == (2, 5)


@pytest.mark.parametrize("model", MODELS)
def test_lists_are_plain_sorting_of_the_candidates(run, learnable, model):
    folder, sequences = run(model), load(learnable)
    found: dict[int, list[int]] = {}
    for row in pq.read_table(folder / LISTS).to_pylist():
        found.setdefault(row["user_id"], []).append(row["item_id"])
        assert row["rank"] == len(found[row["user_id"]])
    ranker = load_ranker(folder, sequences)
    seen = ranker.sequences.as_seen_by(ranker)
    rows = seen.evaluated()
    windows = seen.windows(
        rows, seen.held_out(rows, "test"), ranker.window(int(seen.lengths.max()))
    )
    with torch.no_grad():
        scores = ranker.score(windows)
    assert sorted(found) == [row + 1 for row in rows.tolist()]
    for place, row in enumerate(rows.tolist()):
        history = seen.items[seen.starts[row] : seen.starts[row + 1]].tolist()
        candidates = (set(range(1, seen.n_items + 1)) - set(history)) | {history[-1]}
        by_score = sorted(candidates, key=lambda item: (-scores[place, item].item(), item))
        assert found[row + 1] == by_score[:20]


def test_the_held_out_item_stands_where_it_is_ranked(run, learnable):
    folder, sequences = run("sas_fpt"), load(learnable)
    places = {
        (row["user_id"], row["item_id"]): row["rank"]
        for row in pq.read_table(folder / LISTS).to_pylist()
    }
    ranks = [
        row
        for row in pq.read_table(folder / "ranks.parquet").to_pylist()
        if (row["split"], row["protocol"]) == ("test", "full")
    ]
    assert len(ranks) == 24
    for row in ranks:
        target = sequences.items[sequences.starts[row["user_id"]] - 1].item()
        expected = row["rank"] if row["rank"] <= 20 else None
        assert places.get((row["user_id"], target)) == expected


@pytest.mark.parametrize("model", ["sas_fpt", "ridge"])
def test_lists_that_are_lost_are_made_again(run, learnable, model):
    folder = run(model)
    before = pq.read_table(folder / LISTS)
    (folder / LISTS).unlink()
    list_loaded(load(learnable), folder)
    assert pq.read_table(folder / LISTS).equals(before)


def test_of_few_items_all_are_listed(write_sequences, user):
    """Three of four items are the user's; the test item, the third, is a candidate again."""
    path = write_sequences([user([1, 2, 3], times=[10, 20, 30])], 4)
    found = rank(lambda _: torch.tensor([[9.0, 3, 4, 1, 2]]), load(path), "test", 5)
    assert found.lists.tolist() == [[4, 3, 0, 0]]


def test_validation_has_no_lists(learnable):
    sequences = load(learnable)
    score = popularity(sequences)
    assert rank(score, sequences, "valid", 5).lists is None
    assert rank(score, sequences, "test", 5, ("uniform_100",)).lists is None
    assert rank(score, sequences, "test", 5).lists.shape == (24, 20)

"""What a training puts first: by hand, against plain sorting, and beside its own ranks."""

import pyarrow.parquet as pq
import pytest
import torch

from fpt_model.data import load
from fpt_model.evaluate import open_scores
from fpt_model.lists import LISTS, highest, list_run
from fpt_model.ranking import load_ranker

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
    seen = ranker.sequences.seen_at(ranker.moment)
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


def test_what_may_be_listed_has_the_target_and_none_of_the_history(learnable):
    sequences = load(learnable)
    rows = sequences.evaluated()
    scores = torch.ones(len(rows), sequences.n_items + 1)
    for split in ("valid", "test"):
        open_ = open_scores(sequences, rows, split, scores) > -INF
        assert not open_[:, 0].any()
        distinct = [
            len(set(sequences.items[sequences.starts[row] : sequences.starts[row + 1]].tolist()))
            for row in rows.tolist()
        ]
        assert open_.sum(1).tolist() == [sequences.n_items - n + 1 for n in distinct]


def test_lists_are_the_same_again_and_may_be_shorter(run, learnable, tmp_path):
    folder, sequences = run("ridge"), load(learnable)
    list_run(sequences, folder, tmp_path / "again")
    assert pq.read_table(tmp_path / "again").equals(pq.read_table(folder / LISTS))
    list_run(sequences, folder, tmp_path / "three", top=3)
    assert pq.read_table(tmp_path / "three").num_rows == 24 * 3

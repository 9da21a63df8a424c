"""Where items come again: what is ranked, recommended, counted and refused."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch

from fpt_model.data.sequences import load
from fpt_model.errors import ModelError
from fpt_model.evaluation.ranks import compare
from fpt_model.serving.recommend import best
from fpt_model.simple.past import past_of
from fpt_model.training.trainer import trainer_of

N_ITEMS = 5
SCORES = torch.tensor([[9.0, 4.0, 3.0, 2.0, 1.0, 1.0]])  # of padding and items 1 to 5


@pytest.fixture
def sequences(user, write_sequences):
    """One user, whose test item, 2, had been taken before; all others may be drawn."""
    drawn = {"valid_candidates": [2, 3, 4, 5], "test_candidates": [1, 3, 4, 5]}
    return load(write_sequences([user([2, 3, 3, 1, 2], **drawn)], N_ITEMS, repeats="all"))


def test_all_items_but_the_held_out_one_are_its_candidates(sequences):
    for split, rank in (("test", 2.0), ("valid", 1.0)):  # 2, after 1; 1 itself
        found = compare([(torch.tensor([0]), SCORES)], sequences, split)
        assert {name: ranks.tolist() for name, ranks in found.ranks.items()} == {
            "uniform_100": [rank], "full": [rank],
        }  # fmt: skip
        assert {name: n.tolist() for name, n in found.n_candidates.items()} == {
            "uniform_100": [5], "full": [5],
        }  # fmt: skip


def test_without_repeats_the_history_is_left_out(sequences):
    once = replace(sequences, comes_again=False)
    found = compare([(torch.tensor([0]), SCORES)], once, "test")
    assert found.ranks["full"].tolist() == [1.0]  # only 4 and 5 are new
    assert found.n_candidates["full"].tolist() == [3]


def test_what_was_had_may_be_recommended_again():
    values, items = best(SCORES, [], 3)
    assert (values.tolist(), items.tolist()) == ([[4.0, 3.0, 2.0]], [[1, 2, 3]])
    _, new = best(SCORES, [torch.tensor([1, 3, 3])], 2)
    assert new.tolist() == [[2, 4]]


def test_users_of_an_item_are_counted_once(sequences, user, write_sequences):
    rows = [user([1, 1, 2, 4, 4]), user([2, 1, 1, 3, 3])]
    past = past_of(load(write_sequences(rows, N_ITEMS, repeats="all")))
    assert past.counts().tolist() == [0, 4, 2, 0, 0, 0]
    once = past.once()
    assert once.counts().tolist() == [0, 2, 2, 0, 0, 0]
    assert {item: row.tolist() for item, row in once.together()} == {
        1: [0, 2, 2, 0, 0, 0], 2: [0, 2, 2, 0, 0, 0],
    }  # fmt: skip
    assert past_of(replace(sequences, comes_again=False)).once().items.tolist() == [2, 3, 3]


def test_ratings_that_nobody_gave_are_not_learnt_from(user, write_sequences, small_config):
    rows = [user([1, 2, 3, 4, 5], ratings=[0] * 5)]
    sequences = load(write_sequences(rows, N_ITEMS))
    with pytest.raises(ModelError, match="no ratings to learn from: got rating_width=4"):
        trainer_of(small_config("sasrec", rating_width=4), 0, sequences)
    trainer_of(small_config("sasrec", rating_width=0), 0, sequences)
    rated = load(write_sequences([user([1, 2, 3, 4, 5], ratings=[1, 1, 7, 1, 1])], N_ITEMS))
    trainer_of(small_config("sasrec", rating_width=4), 0, rated)


def test_genres_that_no_file_names_are_not_learnt_from(user, write_sequences, small_config):
    rows = [user([1, 2, 3, 4, 5])]
    config = small_config("sasrec", genre_width=4)
    with pytest.raises(ModelError, match="no genres to learn from: got genre_width=4"):
        trainer_of(config, 0, load(write_sequences(rows, N_ITEMS)))
    trainer_of(config, 0, load(write_sequences(rows, N_ITEMS, genres=True)))


def test_candidates_that_are_new_alone_are_refused_where_items_come_again(sequences, small_config):
    with pytest.raises(ModelError, match="got exclude_seen=true, expected exclude_seen=false"):
        trainer_of(small_config("sasrec", loss="softmax", exclude_seen=True), 0, sequences)


def test_a_training_on_repeats_is_ranked_among_all(
    user, write_sequences, train_small, run_command, tmp_path
):
    rows = [
        user([(first + step) % N_ITEMS + 1 for step in range(8)],
             valid_candidates=[], test_candidates=[])
        for first in range(12)
    ]  # fmt: skip
    path = write_sequences(rows, N_ITEMS, repeats="all")
    train_small(path, tmp_path / "run", "sasrec", epochs=1)
    places = ("--sequences", path, "--run", tmp_path / "run")
    assert run_command("evaluate", *places, "--device", "cpu").code == 0
    ranks = pq.read_table(tmp_path / "run" / "ranks.parquet").to_pylist()
    assert {row["n_candidates"] for row in ranks if row["protocol"] == "full"} == {N_ITEMS}
    asked, output = tmp_path / "asked.json", tmp_path / "top.parquet"
    asked.write_text('[{"user_id": 1}]')
    words = ("recommend", *places, "--asked", asked, "--top", 9, "--output", output)
    assert run_command(*words, "--device", "cpu").code == 0
    assert sorted(pq.read_table(output)["item_id"].to_pylist()) == [1, 2, 3, 4, 5]

"""Users without training: whose vector they get, by hand and against plain loops."""

from dataclasses import replace

import pytest
import torch

from fpt_model.data.sequences import Sequences
from fpt_model.evaluation.ranks import rank
from fpt_model.model.cold_start_users import ColdStartUsers
from fpt_model.training.trainer import scorer, trainer_of

UNSEEN = 5  # three interactions, of which one is for training


@pytest.fixture
def sequences(user, make_sequences):
    """Two users of items 1 to 4, two of items 5 to 8, one with too little to train on."""
    rows = [
        user([1, 2, 3, 4]),
        user([2, 1, 4, 3, 9]),
        user([5, 6, 7, 8]),
        user([6, 5, 8, 7, 9]),
        user([7, 6, 1]),
    ]
    return make_sequences(rows, 10)


@pytest.fixture
def model_of(encoder, small_config):
    """Items 1 to 4 lie at one place, 5 to 8 at another; so do the vectors of who had them."""

    def make(name: str = "sas_fpt", **settings):
        model = encoder(small_config(name, groups=2, **settings), n_items=10, n_users=UNSEEN)
        with torch.no_grad():
            model.items.weight[1:5], model.items.weight[5:9] = 1.0, -1.0
            if model.users is not None:
                model.users.weight[1:] = torch.tensor(
                    [[3.0, 0, 0, 0], [5, 0, 0, 0], [0, 1, 0, 0], [0, 2, 0, 0], [9, 9, 9, 9]]
                )
        return model

    return make


def window(sequences, row: int, before: int):
    return sequences.windows(torch.tensor([row]), torch.tensor([before]), 8)


def test_a_cold_start_user_gets_the_mean_of_the_group_with_the_nearest_taste(sequences, model_of):
    vectors = ColdStartUsers(model_of(), sequences).vectors
    found = vectors(window(sequences, UNSEEN - 1, 1))  # item 7
    assert found.tolist() == [[0, 1.5, 0, 0]]
    # of item 7 and twice item 1, the mean is nearer to the first group
    some = window(sequences, UNSEEN - 1, 1)
    some = replace(some, items=torch.tensor([[0, 0, 0, 0, 0, 1, 7, 1]]))
    assert vectors(some).tolist() == [[4, 0, 0, 0]]


def test_nobody_in_particular_is_a_cold_start_user_too(sequences, model_of):
    some = replace(window(sequences, 0, 2), users=torch.tensor([0]))
    assert ColdStartUsers(model_of(), sequences).vectors(some).tolist() == [[4, 0, 0, 0]]


@pytest.mark.parametrize("settings", [{"group_weight": 0}, {"sse_user": 0.3}, {"name": "sse_pt"}])
def test_without_groups_or_with_shared_vectors_it_is_the_mean_of_all(settings, sequences, model_of):
    found = ColdStartUsers(model_of(**settings), sequences).vectors(
        window(sequences, UNSEEN - 1, 1)
    )
    assert found.tolist() == [[2, 0.75, 0, 0]]


def test_the_trained_keep_their_own(sequences, model_of):
    model = model_of()
    unseen = ColdStartUsers(model, sequences)
    rows = torch.arange(UNSEEN)
    found = unseen.vectors(sequences.windows(rows, torch.ones_like(rows), 8))
    assert torch.equal(found[:4], model.users.weight[1:5])
    assert found[4].tolist() == [0, 1.5, 0, 0]
    assert unseen.vectors(window(sequences, 2, 1)) is None
    assert ColdStartUsers(model_of("tisasrec"), sequences).vectors(window(sequences, 4, 1)) is None


def test_groups_are_against_plain_loops(learnable_rows, make_sequences, encoder, small_config):
    sequences = make_sequences(learnable_rows, 30)
    config = small_config("sas_fpt", groups=3)
    model = encoder(config, n_items=30, n_users=sequences.n_users)
    unseen = ColdStartUsers(model, sequences)
    items, users = model.items.weight.detach(), model.users.weight.detach()
    trained = [row for row, one in enumerate(learnable_rows) if one["n_train"] >= 2]
    tastes = {
        row: sum(
            items[i] for i in learnable_rows[row]["item_ids"][: learnable_rows[row]["n_train"]]
        )
        / learnable_rows[row]["n_train"]
        for row in trained
    }
    from fpt_model.model.user_groups import cluster

    vectors = torch.stack([users[row + 1] for row in trained])
    groups = cluster(vectors, 3, torch.Generator().manual_seed(0)).tolist()
    centres = {
        group: sum(tastes[row] for row, g in zip(trained, groups, strict=True) if g == group)
        / groups.count(group)
        for group in set(groups)
    }
    ranks_cold_start_users = [row for row in range(sequences.n_users) if row not in trained]
    assert len(ranks_cold_start_users) > 1
    for row in ranks_cold_start_users:
        found = unseen.vectors(window(sequences, row, 1))[0]
        taste = items[learnable_rows[row]["item_ids"][0]]
        nearest = min(centres, key=lambda group: float((centres[group] - taste).norm()))
        own = [users[r + 1] for r, g in zip(trained, groups, strict=True) if g == nearest]
        torch.testing.assert_close(found, sum(own) / len(own))


def test_ranks_of_cold_start_users_do_not_rest_on_their_untrained_vector(sequences, model_of):
    one, other = model_of(), model_of()
    with torch.no_grad():
        other.users.weight[UNSEEN] = -100
    for split in ("valid", "test"):
        ranks = [
            rank(scorer(model, sequences), sequences, split, 8).ranks["full"]
            for model in (one, other)
        ]
        assert torch.equal(*ranks)
        assert len(ranks[0]) == UNSEEN


def test_validation_moves_no_histories(user, make_sequences, small_config, monkeypatch):
    """They may be in the machine's memory since a GPU has no room for them."""
    sequences = make_sequences([user([1, 2, 3]), user([1, 2, 3, 4, 2, 1])], 4)
    one = trainer_of(small_config("sas_fpt"), 3, sequences)
    assert one.ranks_cold_start_users
    monkeypatch.setattr(Sequences, "to", lambda *_: pytest.fail("they were moved"))
    assert len(one.ranked("valid").users) == 2

"""Trainings of every variant: they learn, choose on validation, repeat to the bit."""

import pytest
import torch

from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.ranks import rank
from fpt_model.evaluation.scorer import scorer
from fpt_model.training import trainer as trainer_module
from fpt_model.training.trainer import Trainer


@pytest.fixture
def trainer_of(learnable_rows, make_sequences, small_config):
    """A training of `learnable`, not begun."""
    sequences = make_sequences(learnable_rows, 30)

    def make(model: str = "sas_fpt", seed: int = 0, **settings) -> Trainer:
        return trainer_module.trainer_of(small_config(model, **settings), seed, sequences)

    return make


@pytest.fixture
def validations(monkeypatch):
    """Let validation find these NDCGs, one after another, whatever the model is."""

    def let(*found: float) -> None:
        left = iter(found)
        monkeypatch.setattr(trainer_module, "ndcg", lambda ranks, k: next(left))

    return let


def run_epoch(trainer: Trainer) -> dict:
    for _ in range(trainer.steps):
        trainer.step()
    return trainer.end_epoch()


def finish(trainer: Trainer) -> Trainer:
    while not trainer.finished:
        run_epoch(trainer)
    return trainer


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("loss", ["bce", "softmax"])
def test_every_variant_learns_what_follows_what(slug, loss, trainer_of):
    # replacing nine users in ten is right for thousands of them, not for these 26
    chances = {"sse_user": 0.1} if slug == "sse_pt" else {}
    trainer = trainer_of(slug, loss=loss, epochs=25, validate_every=25, **chances)
    first = run_epoch(trainer)["train_loss"]
    finish(trainer)
    assert trainer.progress.epochs[-1]["train_loss"] < 0.75 * first
    ranks = rank(scorer(trainer.model, trainer.sequences), trainer.sequences, "test", 8).ranks[
        "uniform_100"
    ]
    # chance is 8.5 of 16, so about 0.6
    assert recall(ranks, 10) > 0.8


def test_the_same_seed_gives_the_same_weights_to_the_bit(slug, trainer_of):
    once, again = (finish(trainer_of(slug, seed=4)) for _ in range(2))
    assert same(weights(once), weights(again))
    assert same(once.best, again.best)
    assert once.progress.epochs == again.progress.epochs


def test_another_seed_gives_other_weights(slug, trainer_of):
    one, other = (weights(finish(trainer_of(slug, seed=seed))) for seed in (4, 5))
    moved = {name for name in one if name != "edges"}
    assert not any(torch.equal(one[name], other[name]) for name in moved)


def test_chance_outside_of_a_training_changes_nothing(trainer_of):
    undisturbed = weights(finish(trainer_of()))
    trainer = trainer_of()
    while not trainer.finished:
        for _ in range(trainer.steps):
            torch.manual_seed(99)
            torch.rand(3)
            trainer.step()
        trainer.end_epoch()
    assert same(weights(trainer), undisturbed)


def test_training_stops_when_validation_no_longer_improves(trainer_of, validations):
    validations(0.2, 0.5, 0.4, 0.5, 0.1, 0.9)
    trainer = finish(trainer_of(epochs=50, validate_every=2, patience=3))
    assert trainer.progress.epoch == 10  # best at 4, then three validations without a better one
    assert trainer.progress.best_epoch == 4
    assert trainer.progress.best_ndcg == 0.5


def test_the_weights_kept_are_those_of_the_best_epoch(trainer_of, validations):
    validations(0.2, 0.5, 0.4, 0.3)
    trainer = trainer_of(epochs=4)
    seen = []
    while not trainer.finished:
        run_epoch(trainer)
        seen.append(weights(trainer))
    assert [same(trainer.best, epoch) for epoch in seen] == [False, True, False, False]


def test_dropout_is_on_in_every_step_and_off_in_every_validation(trainer_of):
    trainer = trainer_of("sasrec", epochs=2)
    modes = []
    trainer.model.register_forward_hook(lambda model, *_: modes.append(model.training))
    finish(trainer)
    assert modes == ([True] * trainer.steps + [False]) * 2


def test_validation_comes_when_due_and_after_the_last_epoch(trainer_of):
    trainer = finish(trainer_of("sasrec", epochs=5, validate_every=2))
    found = [record["valid_ndcg_10"] is not None for record in trainer.progress.epochs]
    assert found == [False, True, False, True, True]


def test_a_validation_is_the_rank_of_the_validation_item(trainer_of):
    trainer = trainer_of(epochs=1)
    record = run_epoch(trainer)
    ranks = rank(scorer(trainer.model, trainer.sequences), trainer.sequences, "valid", 8).ranks[
        "uniform_100"
    ]
    assert record["valid_ndcg_10"] == ndcg(ranks, 10)
    assert record["valid_recall_10"] == recall(ranks, 10)
    assert 0 < record["valid_ndcg_10"] < record["valid_recall_10"] <= 1


def test_the_test_items_and_their_candidates_are_never_read(
    slug, learnable_rows, make_sequences, small_config
):
    def trained(rows: list[dict]) -> Trainer:
        config = small_config(slug, epochs=3, rating_width=4)
        return finish(trainer_module.trainer_of(config, 0, make_sequences(rows, 30)))

    other = []
    for row in learnable_rows:
        held_out = len(row["item_ids"]) > row["n_train"]
        last = {
            "item_ids": [*row["item_ids"][:-1], row["item_ids"][-1] % 30 + 1],
            "timestamps": [*row["timestamps"][:-1], row["timestamps"][-1] + 10**6],
            "weeks": [*row["weeks"][:-1], row["weeks"][-1] % 52 + 1],
            "ratings": [*row["ratings"][:-1], row["ratings"][-1] % 10 + 1],
            "test_candidates": row["test_candidates"][::-1][:5],
        }
        other.append(row | last if held_out else row)
    one, changed = trained(learnable_rows), trained(other)
    assert same(weights(one), weights(changed))
    assert one.progress.epochs == changed.progress.epochs


def test_user_and_item_replacement_is_for_training_only(trainer_of):
    trainer = trainer_of("sse_pt", sse_user=0.99, sse_item=0.99)
    first, second = (
        rank(scorer(trainer.model, trainer.sequences), trainer.sequences, "test", 8)
        for _ in range(2)
    )
    assert torch.equal(first.ranks["full"], second.ranks["full"])

"""What a step sees: windows of the training part, their targets, and every user once an epoch."""

import pytest
import torch

from fpt_model.engines import module
from fpt_model.errors import ModelError
from fpt_model.training.trainer import trainer_of

LONG = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]  # the last two are held out


@pytest.fixture
def shown(monkeypatch, make_sequences, small_config):
    """Inputs and targets of each user in the first epochs of one step each, in order of users."""

    def train(rows: list[dict], epochs: int = 1, seed: int = 0, **settings) -> list[dict]:
        given = {"max_length": 3, "batch_size": 100, "epochs": 1000, "validate_every": 1000}
        config = small_config("sasrec", **given | settings)
        trainer = trainer_of(config, seed, make_sequences(rows, 10))
        seen = []

        def loss(model, features, targets, negatives):
            seen.append((windows[-1].users, windows[-1].items, targets))
            return features.sum()

        windows = []
        forward = trainer.model.forward
        monkeypatch.setattr(
            trainer.model, "forward", lambda given: windows.append(given) or forward(given)
        )
        monkeypatch.setattr(module, "bce_loss", loss)
        found = []
        for _ in range(epochs):
            seen.clear()
            for _ in range(trainer.steps):
                trainer.step()
            trainer.end_epoch()
            users, items, targets = (torch.cat(part).tolist() for part in zip(*seen, strict=True))
            pairs = zip(items, targets, strict=True)
            found.append(dict(zip(users, pairs, strict=True)))
        return found

    return train


def test_targets_are_the_next_items_of_the_training_part(user, shown):
    rows = [user([1, 2, 3, 4, 5, 6, 7]), user([3, 1, 2, 4]), user([8, 9]), user([5])]
    (epoch,) = shown(rows)
    assert epoch == {
        1: ([2, 3, 4], [3, 4, 5]),
        2: ([0, 0, 3], [0, 0, 1]),
        3: ([0, 0, 8], [0, 0, 9]),  # nothing of theirs is held out; user 4 has no next item
    }


def test_the_latest_windows_are_the_same_in_every_epoch(user, shown):
    one, two = shown([user(LONG), user([3, 1, 2, 4])], epochs=2)
    assert one == two
    assert one[1] == ([5, 6, 7], [6, 7, 8])


def test_random_windows_are_any_within_the_training_part_alike_often(user, shown):
    epochs = shown([user(LONG)] * 50, epochs=20, windows="random")
    windows = [pair for epoch in epochs for pair in epoch.values()]
    starts = [items[0] for items, _ in windows]
    for (items, targets), start in zip(windows, starts, strict=True):
        assert items == [start, start + 1, start + 2]
        assert targets == [start + 1, start + 2, start + 3]
    counts = [starts.count(start) for start in range(1, 6)]  # 5 6 7, before target 8, is the last
    assert sum(counts) == len(starts) == 1000
    # 4 degrees of freedom: 24 is passed at random once in 10 000 times
    assert sum((count - 200) ** 2 / 200 for count in counts) < 24


def test_random_windows_of_short_histories_are_all_there_is(user, shown):
    rows = [user([3, 1, 2, 4]), user([8, 9]), user([1, 2, 3, 4, 5, 6])]
    for epoch in shown(rows, epochs=5, windows="random"):
        assert epoch == {
            1: ([0, 0, 3], [0, 0, 1]),
            2: ([0, 0, 8], [0, 0, 9]),
            3: ([1, 2, 3], [2, 3, 4]),
        }


def test_random_windows_repeat_with_the_seed(user, shown):
    rows = [user(LONG)] * 20
    once, again = (shown(rows, epochs=2, windows="random") for _ in range(2))
    assert once == again
    assert once[0] != once[1]
    assert shown(rows, epochs=2, windows="random", seed=1) != once


def test_every_user_is_shown_once_an_epoch_in_another_order(user, shown):
    rows = [user([1, 2, 3, 4]) for _ in range(20)]
    one, two = (list(epoch) for epoch in shown(rows, epochs=2, batch_size=7))
    assert sorted(one) == sorted(two) == list(range(1, 21))
    assert one != two


def test_a_world_without_two_training_items_of_anyone_is_refused(
    user, make_sequences, small_config
):
    with pytest.raises(ModelError, match=r"nobody to train on: got 3 .* somebody with 4"):
        trainer_of(small_config("sasrec"), 0, make_sequences([user([1, 2, 3])] * 3, 5))

"""Losses against numbers worked out by hand, and what a training adds up from them."""

import itertools
import math

import pytest
import torch

from fpt_model.config import resolve
from fpt_model.model import losses
from fpt_model.model.encoder import Encoder
from fpt_model.model.losses import (
    bce_loss,
    gbce_loss,
    gbce_power,
    group_loss,
    sampled_softmax_loss,
    softmax_loss,
)
from fpt_model.training.trainer import Trainer, trainer_of

ITEMS = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
USERS = torch.tensor([[9.0, 9.0], [1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [-1.0, 0.0]])


@pytest.fixture
def model():
    """Three items whose vectors are those above."""
    config = resolve("sasrec", "paper", {"item_width": 2})
    model = Encoder(config, 3, 1, torch.empty(0, dtype=torch.int64)).double()
    with torch.no_grad():
        model.items.weight.copy_(torch.tensor(ITEMS))
    return model


@pytest.fixture
def features():
    return torch.tensor([[[5.0, -7.0], [2.0, 1.0]], [[0.0, 3.0], [-1.0, 1.0]]]).double()


def test_bce_is_the_mean_over_real_positions_of_both_terms(model, features):
    targets, negatives = torch.tensor([[0, 3], [2, 1]]), torch.tensor([[1, 2], [1, 3]])
    # scores of targets 3, 3, -1; of negatives 1, 0, 0
    expected = (
        (math.log(1 + math.exp(-3)) + math.log(1 + math.exp(1)))
        + (math.log(1 + math.exp(-3)) + math.log(2))
        + (math.log(1 + math.exp(1)) + math.log(2))
    ) / 3
    loss = bce_loss(model, features, targets, negatives)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_bce_of_huge_scores_stays_finite(model, features):
    targets, negatives = torch.tensor([[0, 3], [2, 1]]), torch.tensor([[1, 2], [1, 3]])
    loss = bce_loss(model, features * 1e4, targets, negatives)
    assert loss.item() == pytest.approx((1e4 + 0 + math.log(2) * 2 + 1e4) / 3, rel=1e-9)


def test_softmax_is_over_all_items_but_padding(model, features):
    targets = torch.tensor([[0, 3], [2, 1]])
    # scores of items 1, 2, 3: (2, 1, 3), (0, 3, 3), (-1, 1, 0)
    rows = [([2, 1, 3], 3), ([0, 3, 3], 3), ([-1, 1, 0], -1)]
    expected = sum(math.log(sum(map(math.exp, row))) - target for row, target in rows) / 3
    loss = softmax_loss(model, features, targets)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_all_items_drawn_once_each_are_the_full_softmax(model, features):
    targets, every = torch.tensor([[0, 3], [2, 1]]), torch.tensor([1, 2, 3])
    table, once = model.items.weight, torch.zeros(3)
    found = sampled_softmax_loss(features, table, targets, every, once)
    full = softmax_loss(model, features, targets)
    assert found.item() == pytest.approx(full.item(), abs=1e-12)
    # of items drawn twice, each counts half
    found = sampled_softmax_loss(
        features, table, targets, every.repeat(2), torch.full((6,), 2.0).double().log()
    )
    assert found.item() == pytest.approx(full.item(), abs=1e-12)


def test_a_sampled_softmax_leaves_out_what_was_seen(model, features):
    targets, drawn = torch.tensor([[0, 3], [2, 1]]), torch.tensor([1, 3, 2])
    seen = torch.zeros(2, 2, 3, dtype=torch.bool)
    seen[0, 1, 0] = seen[1, 0, 2] = seen[1, 1] = True  # the target itself, and all there is
    log_expected = torch.tensor([0.5, 2.0, 1.0]).double().log()
    # scores of items 1, 2, 3: (2, 1, 3), (0, 3, 3), (-1, 1, 0); drawn are 1, 3 and 2
    sums = [
        math.exp(3) + math.exp(1),
        math.exp(3) + math.exp(0) / 0.5 + math.exp(3) / 2,
        math.exp(-1),
    ]
    expected = (sum(map(math.log, sums)) - 3 - 3 + 1) / 3
    found = sampled_softmax_loss(features, model.items.weight, targets, drawn, log_expected, seen)
    assert found.item() == pytest.approx(expected, abs=1e-12)


def test_correction_makes_skewed_draws_right_in_expectation():
    """The sum of exponents, over all draws of one negative, is that over all items."""
    scores = torch.tensor([0.0, 0.0, 1.0, -1.0, 2.0]).double()  # the first of padding
    chance = [0.0, 0.1, 0.2, 0.3, 0.4]
    target, feature = torch.tensor([[4]]), torch.ones(1, 1, 1).double()
    mean = 0.0
    for item in range(1, 5):
        drawn, log_expected = torch.tensor([item]), torch.tensor([chance[item]]).log()
        loss = sampled_softmax_loss(feature, scores[:, None], target, drawn, log_expected)
        mean += chance[item] * math.exp(float(loss) + 2.0)
    assert mean == pytest.approx(float(scores[1:].exp().sum()), rel=1e-6)


def test_a_sampled_softmax_in_parts_is_that_of_the_whole(monkeypatch):
    draw = torch.Generator().manual_seed(3)
    features = torch.randn(3, 4, 6, generator=draw).requires_grad_()
    rows = torch.randn(9, 5, generator=draw).requires_grad_()
    targets = torch.randint(0, 9, (3, 4), generator=draw)
    drawn = torch.randint(1, 9, (7,), generator=draw)
    seen = torch.rand(3, 4, 7, generator=draw) < 0.3
    given = features, rows, targets, drawn, torch.zeros(7), seen
    found = []
    for at_once in (losses.AT_ONCE, 35):
        monkeypatch.setattr(losses, "AT_ONCE", at_once)
        loss = sampled_softmax_loss(*given)
        found.append((loss, *torch.autograd.grad(loss, (features, rows))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_softmax_leaves_out_what_was_seen_but_not_the_next_item(model, features):
    targets = torch.tensor([[0, 3], [2, 1]])
    seen = torch.tensor(
        [
            [[0, 1, 1, 1], [0, 1, 0, 1]],  # a padded position; the next item was seen as well
            [[0, 0, 0, 1], [0, 0, 0, 0]],
        ]
    ).bool()
    rows = [([1, 3], 3), ([0, 3], 3), ([-1, 1, 0], -1)]
    expected = sum(math.log(sum(map(math.exp, row))) - target for row, target in rows) / 3
    loss = softmax_loss(model, features, targets, seen)
    assert loss.item() == pytest.approx(expected, abs=1e-12)


def test_smoothing_divides_a_share_among_all_items(model, features):
    targets = torch.tensor([[0, 3], [2, 1]])
    # scores of items 1, 2, 3; the target has .7 and .3 / 3 more, the others .3 / 3
    rows = [([2, 1, 3], 2.2, 3), ([0, 3, 3], 0, 0), ([-1, 1, 0], 0, 0)]
    drawn = [0.1 * 2 + 0.1 * 1 + 0.8 * 3, 0.1 * 0 + 0.8 * 3 + 0.1 * 3, 0.8 * -1 + 0.1 * 1 + 0]
    sums = [math.log(sum(map(math.exp, row))) for row, *_ in rows]
    expected = (sum(sums) - sum(drawn)) / 3
    loss = softmax_loss(model, features, targets, smoothing=0.3)
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    # which is PyTorch's own where nothing is left out
    scores = features.flatten(0, 1)[1:] @ model.items.weight[1:].T
    own = torch.nn.functional.cross_entropy(scores, torch.tensor([2, 1, 0]), label_smoothing=0.3)
    assert loss.item() == pytest.approx(own.item(), abs=1e-12)


def test_smoothing_gives_no_share_to_what_was_seen(model, features):
    targets = torch.tensor([[0, 3], [2, 1]])
    seen = torch.tensor(
        [
            [[0, 1, 1, 1], [0, 1, 0, 1]],  # a padded position; the next item was seen as well
            [[0, 0, 0, 1], [0, 0, 1, 1]],
        ]
    ).bool()
    # left are items 2, 3 with scores 1, 3; items 1, 2 with 0, 3; item 1, the target, alone
    sums = [math.log(math.exp(1) + math.exp(3)), math.log(1 + math.exp(3)), -1]
    drawn = [0.15 * 1 + 0.85 * 3, 0.15 * 0 + 0.85 * 3, -1]
    leaf = features.clone().requires_grad_()
    loss = softmax_loss(model, leaf, targets, seen, 0.3)
    assert loss.item() == pytest.approx((sum(sums) - sum(drawn)) / 3, abs=1e-12)
    loss.backward()
    # by scores, probability less share: of the first real position -.. and +.. of items 2 and 3
    high = math.exp(3) / (math.exp(1) + math.exp(3))
    by_scores = torch.tensor([[0.0, 1.0], [1.0, 1.0]]).double().T @ torch.tensor(
        [1 - high - 0.15, high - 0.85], dtype=torch.float64
    )
    torch.testing.assert_close(leaf.grad[0, 1], by_scores / 3)
    assert not leaf.grad[0, 0].any()
    assert not leaf.grad[1, 1].any()  # one item alone teaches nothing


def test_the_power_of_gbce_by_hand():
    # 5 items, of which 4 are no positive one; 2 negatives are a share of a half
    assert gbce_power(2, 5, 0.0) == 1.0
    assert gbce_power(2, 5, 1.0) == 0.5
    assert gbce_power(2, 5, 0.75) == 1 - 0.75 * 0.5
    assert gbce_power(2, 5, 0.75) == pytest.approx(0.5 * (0.75 * (1 - 1 / 0.5) + 1 / 0.5))
    assert gbce_power(9, 5, 0.75) == gbce_power(4, 5, 0.75) == 1.0  # all of them
    # MovieLens-1M in the paper: 256 of 3,415
    assert gbce_power(256, 3416, 0.75) == pytest.approx(0.306223, abs=1e-6)


def test_gbce_is_the_mean_over_the_positive_and_all_negatives(model, features):
    targets = torch.tensor([[0, 3], [2, 1]])
    negatives = torch.tensor([[[1, 2], [1, 2]], [[1, 3], [2, 2]]])
    power = 1 - 0.5 * (1 - 2 / 2)  # 2 negatives of 2 others
    assert power == 1
    # scores of targets 3, 3, -1; of negatives 2 and 1, 0 and 3, 1 and 1
    rows = [(3, 2, 1), (3, 0, 3), (-1, 1, 1)]

    def soft(x: float) -> float:
        return math.log(1 + math.exp(x))

    for calibration in (0.0, 0.5):  # all negatives are seen: nothing to make up for
        loss = gbce_loss(model, features, targets, negatives, calibration)
        expected = sum(soft(-a) + soft(b) + soft(c) for a, b, c in rows) / 3 / 3
        assert loss.item() == pytest.approx(expected, abs=1e-12)
    # one of 2 others: a power of 1 - .5 · .5
    loss = gbce_loss(model, features, targets, negatives[..., :1], 0.5)
    expected = sum(0.75 * soft(-a) + soft(b) for a, b, _ in rows) / 2 / 3
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    # with one negative and no calibration it is half of `bce`, which is a sum
    loss = gbce_loss(model, features, targets, negatives[..., :1], 0.0)
    both = bce_loss(model, features, targets, negatives[..., 0])
    assert 2 * loss.item() == pytest.approx(both.item(), abs=1e-12)


def test_gbce_is_bce_of_the_score_that_its_paper_transforms(model, features):
    """log(1 / (σ(s)^-β - 1)) has σ(s)^β for its own probability."""
    targets, negatives = torch.tensor([[1, 3], [2, 1]]), torch.tensor([[[2]] * 2, [[3]] * 2])
    power = gbce_power(1, 3, 0.9)
    positive = model.score(features, targets)
    transformed = (1 / (positive.sigmoid().pow(-power) - 1)).log()
    scores = torch.stack([transformed, model.score(features, negatives[..., 0])], 2)
    labels = torch.tensor([1.0, 0.0]).double().expand_as(scores)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels)
    found = gbce_loss(model, features, targets, negatives, 0.9)
    assert found.item() == pytest.approx(expected.item(), abs=1e-12)


def test_gbce_in_parts_is_that_of_the_whole(model, monkeypatch):
    draw = torch.Generator().manual_seed(3)
    features = torch.randn(3, 4, 2, generator=draw).double().requires_grad_()
    targets = torch.randint(0, 4, (3, 4), generator=draw)
    negatives = torch.randint(1, 4, (3, 4, 5), generator=draw)
    found = []
    for at_once in (losses.AT_ONCE, 35):
        monkeypatch.setattr(losses, "AT_ONCE", at_once)
        loss = gbce_loss(model, features, targets, negatives, 0.5)
        found.append((loss, *torch.autograd.grad(loss, (features, model.items.weight))))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_padded_positions_give_no_gradient(model, features):
    targets, negatives = torch.tensor([[0, 3], [2, 0]]), torch.tensor([[1, 2], [1, 3]])
    for loss in (
        lambda x: bce_loss(model, x, targets, negatives),
        lambda x: gbce_loss(model, x, targets, negatives[..., None], 0.5),
        lambda x: softmax_loss(model, x, targets),
        lambda x: softmax_loss(model, x, targets, smoothing=0.1),
    ):
        leaf = features.clone().requires_grad_()
        loss(leaf).backward()
        moved = leaf.grad.abs().sum(2) > 0
        assert moved.tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize(
    ("first", "second", "same", "margin", "expected"),
    [
        (1, 3, True, 0.0, 1 - math.sqrt(0.5)),
        (1, 3, True, 0.9, 1 - math.sqrt(0.5)),  # a margin is for different groups
        (1, 2, True, 0.0, 1.0),
        (1, 4, True, 0.0, 2.0),
        (1, 3, False, 0.0, math.sqrt(0.5)),
        (1, 3, False, 0.5, math.sqrt(0.5) - 0.5),
        (1, 3, False, 0.8, 0.0),
        (1, 4, False, 0.0, 0.0),
        (1, 4, False, -1.0, 0.0),
        (2, 1, False, -0.25, 0.25),
    ],
)
def test_group_loss_of_one_pair(first, second, same, margin, expected):
    pair = (torch.tensor([first]), torch.tensor([second]), torch.tensor([same]))
    assert group_loss(USERS, *pair, margin).item() == pytest.approx(expected, abs=1e-6)


def test_group_loss_is_a_sum_over_pairs():
    first, second = torch.tensor([1, 1, 1, 2]), torch.tensor([3, 4, 2, 3])
    same = torch.tensor([True, True, False, False])
    expected = (1 - math.sqrt(0.5)) + 2 + 0 + (math.sqrt(0.5) - 0.1)
    assert group_loss(USERS, first, second, same, 0.1).item() == pytest.approx(expected, abs=1e-6)


def test_group_loss_brings_same_groups_nearer_and_parts_others():
    for same, nearer in ((True, True), (False, False)):
        users = USERS.clone().requires_grad_()
        pair = (torch.tensor([1]), torch.tensor([3]))
        group_loss(users, *pair, torch.tensor([same]), 0.0).backward()
        moved = users.detach() - 0.1 * users.grad
        cosine = torch.cosine_similarity(moved[1], moved[3], dim=0).item()
        assert (cosine > math.sqrt(0.5)) is nearer


@pytest.fixture
def first_losses(learnable_rows, make_sequences, small_config):
    """Mean losses of the first epochs of one step each, without dropout."""
    sequences = make_sequences(learnable_rows, 30)

    def train(epochs: int, model: str = "sas_fpt", **overrides) -> tuple[Trainer, list[float]]:
        settings = {"dropout": 0.0, "batch_size": 100, "l2": 0.0, "group_refresh": 1} | overrides
        trainer = trainer_of(small_config(model, epochs=max(epochs, 1), **settings), 3, sequences)
        losses = []
        for _ in range(epochs):
            trainer.step()
            losses.append(trainer.end_epoch()["train_loss"])
        return trainer, losses

    return train


def test_the_penalty_is_the_norm_of_each_table_not_its_square(first_losses, small_config):
    _, plain = first_losses(1, "tisasrec")
    _, penalised = first_losses(1, "tisasrec", l2=0.125)
    fresh, _ = first_losses(0, "tisasrec")
    norms = sum(table.detach().norm().item() for table in fresh.model.regularised())
    assert penalised[0] - plain[0] == pytest.approx(0.125 * norms, rel=1e-5)


def test_the_group_loss_starts_with_the_first_groups(first_losses):
    _, without = first_losses(2, group_weight=0.0)
    grouped, with_groups = first_losses(2, group_weight=0.5)
    assert with_groups[0] == without[0]
    extra = with_groups[1] - without[1]
    # 100 pairs, each between 0 and 2
    assert 0 < extra < 0.5 * 100 * 2
    assert set(grouped.training.groups[1:].tolist()) <= {0, 1, 2, 3}
    assert len(set(grouped.training.groups[1:].tolist())) > 1
    _, later = first_losses(2, group_weight=0.5, group_refresh=2)
    assert later == without


def test_softmax_starts_near_the_log_of_the_items(first_losses):
    _, losses = first_losses(1, "sasrec", loss="softmax")
    assert losses[0] == pytest.approx(math.log(30), abs=0.8)


def test_bce_starts_near_two_logs_of_two(first_losses):
    _, losses = first_losses(1, "sasrec")
    assert losses[0] == pytest.approx(2 * math.log(2), abs=0.4)


def test_an_epochs_loss_is_the_mean_over_its_steps(first_losses, learnable_rows, make_sequences):
    trainer, _ = first_losses(0, "sasrec", batch_size=10)
    assert trainer.steps == 3  # 25 users with two interactions or more
    sums = [0.0]
    for _ in range(3):
        trainer.step()
        sums.append(trainer.training.loss_sum.item())
    assert all(0.5 < b - a < 3 for a, b in itertools.pairwise(sums))
    assert trainer.end_epoch()["train_loss"] == pytest.approx(sums[-1] / 3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_training(first_losses, bad):
    from fpt_model.errors import ModelError

    trainer, _ = first_losses(0, "sasrec")
    with torch.no_grad():
        trainer.model.items.weight[5] = bad
    trainer.step()
    with pytest.raises(ModelError, match=r"loss of epoch 1 is .* lower learning_rate"):
        trainer.end_epoch()

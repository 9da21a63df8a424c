"""Ranks under both protocols against a loop over candidates, and metrics by hand."""

import math

import pytest
import torch

from fpt_model.errors import ModelError
from fpt_model.evaluation import ranks as evaluate
from fpt_model.evaluation.metrics import mrr, ndcg, recall
from fpt_model.evaluation.popularity import popularity
from fpt_model.evaluation.ranks import rank
from fpt_model.model.encoder import Encoder
from fpt_model.training.trainer import trainer_of

SPLITS = ("valid", "test")


@pytest.fixture
def learnable_sequences(learnable_rows, make_sequences):
    return make_sequences(learnable_rows, 30)


def by_user(table: torch.Tensor):
    """A scorer that reads the scores of user u from row u."""
    return lambda windows: table[windows.users]


def random_scores(seed: int, values: int) -> torch.Tensor:
    """Scores for 26 users and 30 items; few values make many ties."""
    g = torch.Generator().manual_seed(seed)
    return torch.randint(-values, values, (27, 31), generator=g).float()


def looped(row: dict, scores: list[float], split: str, protocol: str, n_items: int):
    """Rank and number of candidates of one user, candidate by candidate."""
    target = row["item_ids"][-1 if split == "test" else -2]
    if protocol == "full":
        others = [item for item in range(1, n_items + 1) if item not in row["item_ids"]]
    else:
        others = row[f"{split}_candidates"]
    place = 1.0
    for item in others:
        place += scores[item] > scores[target]
        place += 0.5 * (scores[item] == scores[target])
    return place, 1 + len(others)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("values", [2, 1000])
def test_ranks_are_those_of_a_loop_over_candidates(
    split, values, learnable_rows, learnable_sequences
):
    scores = random_scores(1, values)
    found = rank(by_user(scores), learnable_sequences, split, 8)
    evaluated = [user for user, row in enumerate(learnable_rows, 1) if len(row["item_ids"]) >= 3]
    assert found.users.tolist() == evaluated == list(range(1, 25))
    for protocol in ("uniform_100", "full"):
        expected = [
            looped(learnable_rows[user - 1], scores[user].tolist(), split, protocol, 30)
            for user in evaluated
        ]
        assert found.ranks[protocol].tolist() == [place for place, _ in expected]
        assert found.n_candidates[protocol].tolist() == [count for _, count in expected]


@pytest.mark.parametrize("protocol", ["uniform_100", "full"])
def test_one_protocol_alone_gives_its_ranks(protocol, learnable_sequences):
    score = by_user(random_scores(2, 5))
    both = rank(score, learnable_sequences, "test", 8)
    alone = rank(score, learnable_sequences, "test", 8, (protocol,))
    assert set(alone.ranks) == set(alone.n_candidates) == {protocol}
    assert torch.equal(alone.ranks[protocol], both.ranks[protocol])
    assert torch.equal(alone.n_candidates[protocol], both.n_candidates[protocol])


@pytest.fixture
def one_user(user, make_sequences):
    """Took 1, 2, 3, holds out 4 for validation and 5 for test; 6 to 9 are drawn of 6 to 10."""
    drawn = {"valid_candidates": [6, 7, 8, 9], "test_candidates": [6, 7, 8, 9]}
    return make_sequences([user([1, 2, 3, 4, 5], **drawn)], 10)


@pytest.mark.parametrize(
    ("scores", "uniform", "full"),
    [
        # of items 1 to 10; the target is 5
        ([0, 0, 0, 0, 9, 1, 2, 3, 4, 5], 1.0, 1.0),
        ([0, 0, 0, 0, 0, 1, 2, 3, 4, 5], 5.0, 6.0),
        ([9, 9, 9, 9, 0, -1, -2, -3, -4, 1], 1.0, 2.0),  # what was taken is masked, 10 not drawn
        ([0, 0, 0, 0, 3, 1, 3, 3, 4, 3], 3.0, 3.5),  # one higher, two or three equal
        ([7] * 10, 3.0, 3.5),  # a constant: the middle of 5 and of 6
    ],
)
def test_rank_is_one_and_the_higher_and_half_of_the_equal(scores, uniform, full, one_user):
    table = torch.tensor([[99.0, *scores]])
    found = rank(lambda windows: table.expand(len(windows.users), -1), one_user, "test", 8)
    assert found.ranks["uniform_100"].tolist() == [uniform]
    assert found.ranks["full"].tolist() == [full]


def test_the_score_of_padding_never_counts(one_user):
    def score(windows):
        table = torch.zeros(len(windows.users), 11)
        table[:, 0], table[:, 5] = 1e9, 1.0
        return table

    found = rank(score, one_user, "test", 8)
    assert [ranks.item() for ranks in found.ranks.values()] == [1.0, 1.0]
    assert [count.item() for count in found.n_candidates.values()] == [5, 6]


@pytest.mark.parametrize(("split", "inputs"), [("valid", [1, 2, 3]), ("test", [2, 3, 4])])
def test_the_input_is_what_lies_before_the_held_out_item(split, inputs, one_user):
    seen = []

    def score(windows):
        seen.append(windows.items[0].tolist())
        return torch.zeros(len(windows.users), 11)

    rank(score, one_user, split, 3)
    assert seen == [inputs]


@pytest.mark.parametrize("split", SPLITS)
def test_a_constant_model_gets_the_expectation_of_chance(split, learnable_sequences):
    found = rank(lambda windows: torch.ones(len(windows.users), 31), learnable_sequences, split, 8)
    for protocol in ("uniform_100", "full"):
        middle = (found.n_candidates[protocol] + 1) / 2
        assert torch.equal(found.ranks[protocol], middle)


@pytest.mark.parametrize("batch", [1, 5, 24, 1000])
@pytest.mark.parametrize("split", SPLITS)
def test_the_size_of_a_batch_changes_no_rank(
    split, batch, learnable_sequences, encoder, small_config, monkeypatch
):
    from fpt_model.training.trainer import scorer

    score = scorer(encoder(small_config("sas_fpt"), n_items=30, n_users=26), learnable_sequences)
    usual = rank(score, learnable_sequences, split, 8)
    monkeypatch.setattr(evaluate, "BATCH", batch)
    other = rank(score, learnable_sequences, split, 8)
    assert torch.equal(usual.users, other.users)
    for protocol in ("uniform_100", "full"):
        assert torch.equal(usual.ranks[protocol], other.ranks[protocol])
        assert torch.equal(usual.n_candidates[protocol], other.n_candidates[protocol])
    assert usual.ranks["full"].unique().numel() > 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_refused(bad, learnable_sequences):
    scores = random_scores(1, 5)
    scores[20, 3] = bad
    with pytest.raises(ModelError, match="score is not a number"):
        rank(by_user(scores), learnable_sequences, "test", 8)


def test_nobody_to_evaluate_is_an_error(user, make_sequences):
    with pytest.raises(ModelError, match="Nobody has held-out items"):
        rank(by_user(torch.zeros(3, 4)), make_sequences([user([1, 2])] * 2, 3), "test", 8)


def test_popularity_counts_the_training_part_only(user, make_sequences):
    drawn = {"valid_candidates": [5, 6], "test_candidates": [5, 6]}
    rows = [
        user([1, 2, 3, 4], **drawn),  # trains on 1, 2
        user([2, 4, 4, 3], valid_candidates=[1, 6], test_candidates=[1, 5]),  # trains on 2, 4
        user([2, 6]),  # has nothing held out: trains on both
        user([6]),
    ]
    sequences = make_sequences(rows, 6)
    score = popularity(sequences)
    windows = sequences.windows(torch.tensor([0, 3]), torch.tensor([1, 1]), 4)
    assert score(windows).tolist() == [[0, 1, 3, 0, 1, 0, 2]] * 2
    found = rank(score, sequences, "test", 8)
    assert found.users.tolist() == [1, 2]
    # target 4 (once) against 5 (never) and 6 (twice); target 3 (never) against 1 (once), 5 (never)
    assert found.ranks["uniform_100"].tolist() == [2.0, 2.5]
    assert found.ranks["full"].tolist() == [2.0, 3.5]  # the second also meets 6


RANKS = torch.tensor([1.0, 2.5, 10.0, 10.5, 51.0])


def test_recall_is_the_share_within_the_first_k():
    assert [recall(RANKS, k) for k in (1, 5, 10, 20)] == [0.2, 0.4, 0.6, 0.8]


def test_ndcg_discounts_by_the_log_of_the_rank():
    expected = (1 / math.log2(2) + 1 / math.log2(3.5) + 1 / math.log2(11)) / 5
    assert ndcg(RANKS, 10) == pytest.approx(expected, abs=1e-12)
    assert ndcg(RANKS, 1) == pytest.approx(1 / 5, abs=1e-12)
    assert ndcg(torch.tensor([10.5, 11.0]), 10) == 0


def test_mrr_is_the_mean_of_one_over_the_rank():
    assert mrr(RANKS, 10) == pytest.approx((1 + 1 / 2.5 + 1 / 10) / 5, abs=1e-12)
    assert mrr(RANKS, 1) == pytest.approx(1 / 5, abs=1e-12)


def test_of_millions_of_items_fewer_users_are_scored_at_a_time():
    """Their scores are half a gigabyte at most, or those of one user."""
    sizes = [evaluate.users_at_once(n) for n in (1, 524_287, 524_288, 10_000_000, 2**30)]
    assert sizes == [256, 256, 255, 13, 1]


def test_of_many_items_only_the_drawn_ones_are_scored_to_validate(
    learnable_sequences, small_config, monkeypatch
):
    trainer = trainer_of(small_config("tisasrec", loss="sampled_softmax"), 0, learnable_sequences)
    expected = trainer.ranked("valid", ("uniform_100",))
    monkeypatch.setattr(evaluate, "SCORES", 31 * 7)
    both = trainer.ranked("valid")
    monkeypatch.setattr(Encoder, "score_all", lambda *_: pytest.fail("all items were scored"))
    some = trainer.ranked("valid", ("uniform_100",))
    for found in (both, some):
        assert found.ranks["uniform_100"].equal(expected.ranks["uniform_100"])
        assert found.n_candidates["uniform_100"].equal(expected.n_candidates["uniform_100"])


def test_signs_of_more_items_than_float32_can_count():
    values = torch.tensor([[1.0]]).expand(1, 2**24 + 3)
    assert float(evaluate.signs(values, torch.zeros(1, 1))) == 2**24 + 3

"""Negatives that are never positives, replaced ids, and chance that is the same each time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fpt_model.data.negatives import (
    NegativeSampler,
    SharedNegatives,
    generator,
    seed_step,
    sse_replace,
)
from fpt_model.data.seen import FirstSeen
from fpt_model.data.sequences import Sequences

N_ITEMS = 12


def sequences_of(histories: list[list[int]], *, n_items: int = N_ITEMS, held_out: int = 0):
    """Only what a sampler reads of histories."""
    items = torch.tensor([item for history in histories for item in history])
    lengths = torch.tensor([len(history) for history in histories])
    ones = torch.ones(len(histories), dtype=torch.int64)
    return Sequences(
        snapshot_id="abc",
        sha256="",
        values="",
        n_items=n_items,
        items=items,
        times=items,
        query_times=items,
        weeks=items,
        ratings=items,
        starts=torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]),
        n_train=lengths - held_out,
        scales=ones,
        candidates={},
    )


def draws(histories: list[list[int]], user: int, count: int, **others: int) -> torch.Tensor:
    sampler = NegativeSampler(sequences_of(histories, **others))
    return sampler.draw(torch.tensor([user]), (1, count))[0]


@given(
    histories=st.lists(
        st.lists(st.integers(1, N_ITEMS), min_size=1, max_size=2 * N_ITEMS), min_size=1, max_size=5
    ),
    seed=st.integers(0, 2**30),
)
@settings(max_examples=60, deadline=None)
def test_a_negative_is_an_item_that_the_user_never_took(histories, seed):
    seed_step(seed, 0)
    users = torch.arange(1, len(histories) + 1)
    drawn = NegativeSampler(sequences_of(histories)).draw(users, (len(histories), 40))
    for history, items in zip(histories, drawn.tolist(), strict=True):
        new = set(range(1, N_ITEMS + 1)) - set(history)
        # whoever took everything has no such item, and draws from all
        assert set(items) <= (new or set(range(1, N_ITEMS + 1)))


@pytest.mark.parametrize(
    "history",
    [[5], [1, 2, 3], [10, 11, 12], [1, 12], [1, 3, 5, 7, 9, 11], [4, 4, 9, 4]],
)
def test_negatives_are_uniform_over_all_others(history):
    seed_step(1, 0)
    n = 20_000
    counts = torch.bincount(draws([[1, 2], history, [7]], 2, n), minlength=N_ITEMS + 1)
    new = [item for item in range(1, N_ITEMS + 1) if item not in history]
    expected = n / len(new)
    chi_square = sum((counts[item].item() - expected) ** 2 / expected for item in new)
    # 11 degrees of freedom at most: 38 is passed at random once in 10 000 times
    assert chi_square < 38
    assert counts.sum() == counts[new].sum()


@pytest.mark.parametrize("left", [1, 6, N_ITEMS])
def test_whoever_took_all_but_one_item_gets_that_one(left):
    history = [item for item in range(1, N_ITEMS + 1) if item != left]
    assert set(draws([[3], history, [3]], 2, 100).tolist()) == {left}


@pytest.mark.parametrize("others", [[], [[3]]])
def test_whoever_took_every_item_draws_from_all_of_them(others):
    seed_step(1, 0)
    every = list(range(1, N_ITEMS + 1))
    assert set(draws([every, *others], 1, 500).tolist()) == set(every)


def test_held_out_items_may_be_drawn_or_training_would_know_them():
    drawn = draws([[1, 2, 3, 4]], 1, 200, n_items=4, held_out=2)
    assert set(drawn.tolist()) == {3, 4}


def test_each_row_is_drawn_for_its_own_user():
    sampler = NegativeSampler(sequences_of([[1, 2, 3], [2, 3, 4], [1, 3, 4]], n_items=4))
    drawn = sampler.draw(torch.tensor([3, 1, 2, 1]), (4, 2, 3))
    assert drawn.flatten(1).tolist() == [[2] * 6, [4] * 6, [1] * 6, [4] * 6]


@pytest.mark.parametrize("chance", [0.1, 0.5, 0.92])
def test_as_many_ids_are_replaced_as_asked(chance):
    seed_step(1, 0)
    n = 40_000
    ids = torch.full((n,), 7)
    apply_sse = sse_replace(ids, chance, 10)
    # one in ten is replaced by itself; five standard deviations of a share
    share = chance * 0.9
    assert (apply_sse != 7).double().mean().item() == pytest.approx(
        share, abs=5 * (share * (1 - share) / n) ** 0.5
    )
    counts = torch.bincount(apply_sse, minlength=11)[[1, 2, 3, 4, 5, 6, 8, 9, 10]]
    assert counts.sum() == (apply_sse != 7).sum()
    expected = n * chance / 10
    assert ((counts - expected) ** 2 / expected).sum() < 33  # 8 degrees of freedom, 1 in 10 000


def test_padding_is_never_replaced_and_never_a_replacement():
    seed_step(1, 0)
    ids = torch.arange(5).repeat(1000, 2)
    apply_sse = sse_replace(ids, 0.99, 4)
    assert torch.equal(apply_sse == 0, ids == 0)
    assert apply_sse.max() == 4


def test_nothing_is_replaced_at_chance_zero():
    ids = torch.arange(5)
    assert sse_replace(ids, 0.0, 4) is ids


def test_the_same_seed_and_step_give_the_same_draws_and_others_do_not():
    def drawn(seed: int, step: int) -> list[int]:
        seed_step(seed, step)
        return [
            *draws([[5]], 1, 30).tolist(),
            *sse_replace(torch.full((30,), 7), 0.5, 10).tolist(),
        ]

    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (0, 2)]
    assert [drawn(*key) for key in keys] == [drawn(*key) for key in keys]
    assert len({tuple(drawn(*key)) for key in keys}) == len(keys)


def test_generators_differ_by_seed_purpose_and_number():
    def drawn(*key: int) -> tuple[int, ...]:
        return tuple(torch.randint(1000, (8,), generator=generator(*key)).tolist())

    keys = [
        (seed, purpose, number) for seed in range(4) for purpose in (1, 2, 3) for number in (0, 1)
    ]
    assert [drawn(*key) for key in keys] == [drawn(*key) for key in keys]
    assert len({drawn(*key) for key in keys}) == len(keys)


def test_a_generator_leaves_the_global_one_alone():
    seed_step(3, 0)
    expected = torch.rand(3)
    seed_step(3, 0)
    torch.rand(5, generator=generator(3, 1, 0))
    assert torch.equal(torch.rand(3), expected)


def test_shared_negatives_are_half_uniform_and_half_as_often_as_trained_on():
    """Item 1 is trained on three times of five, items 2 and 3 once; the held-out ones do not count.
    Of 100 draws 50 are uniform among 12 items."""
    sequences = sequences_of([[1, 2, 1, 9, 9], [1, 3, 7, 7]], held_out=2)
    sampler = SharedNegatives(sequences, 100)
    seed_step(1, 0)
    drawn = [sampler.draw() for _ in range(400)]
    items = torch.cat([own for own, _ in drawn])
    expected = {1: 50 / 12 + 50 * 3 / 5, 2: 50 / 12 + 50 / 5, 9: 50 / 12, 12: 50 / 12}
    for item, count in expected.items():
        assert float((items == item).sum()) / 400 == pytest.approx(count, rel=0.06)
    for own, log_expected in drawn[:3]:
        for item, log in zip(own.tolist(), log_expected.tolist(), strict=True):
            if item in expected:
                assert log == pytest.approx(math.log(expected[item]), abs=1e-5)
    assert items.min() >= 1
    assert items.max() <= N_ITEMS


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_shared_negatives_as_asked_for_the_same_for_the_same_generator(count):
    sampler = SharedNegatives(sequences_of([[1, 2, 3, 4]]), count)
    one, other = (sampler.draw(torch.Generator().manual_seed(7)) for _ in range(2))
    assert len(one[0]) == count
    assert one[0].equal(other[0])
    total = sampler.log_expected[1:].exp().sum()
    assert float(total) == pytest.approx(count)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_shared_items_are_the_same_wherever_histories_are():
    sequences, gpu = sequences_of([[1, 2, 3], [2, 4], [5]]), torch.device("cuda")
    found = []
    for histories in (gpu, torch.device("cpu")):
        seed_step(3, 1)
        placed = sequences.to(gpu, histories)
        drawn = SharedNegatives(placed, 64).draw()
        users, positions = torch.tensor([1, 2], device=gpu), torch.tensor([[0, 2]] * 2, device=gpu)
        found.append([*drawn, FirstSeen(placed).seen_before(users, positions, drawn[0])])
    for here, there in zip(*found, strict=True):
        assert here.device == there.device
        assert here.device.type == "cuda"
        assert here.equal(there)

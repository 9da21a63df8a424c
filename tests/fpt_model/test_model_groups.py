"""Groups of users by the directions of their vectors."""

import itertools

import pytest
import torch

from fpt_model.model.user_groups import cluster


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crowds(*, seed: int, sizes: tuple[int, ...] = (15, 40, 8, 25)) -> tuple[torch.Tensor, list]:
    """Vectors about four right-angled directions, shuffled, and which one each is about."""
    g = generator(seed)
    owners = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    owners = owners[torch.randperm(len(owners), generator=g)]
    noise = 0.02 * torch.randn(len(owners), 6, generator=g)
    lengths = torch.rand(len(owners), 1, generator=g) * 5 + 0.5
    return (torch.eye(6)[owners] + noise) * lengths, owners.tolist()


def together(groups) -> list[bool]:
    """Who is with whom: the same for two groupings that differ in numbers only."""
    return [a == b for a, b in itertools.combinations(groups, 2)]


@pytest.mark.parametrize("seed", range(8))
def test_obvious_clusters_are_found_whatever_the_first_seed(seed):
    vectors, owners = crowds(seed=seed)
    groups = cluster(vectors, 4, generator(seed))
    assert together(groups.tolist()) == together(owners)


@pytest.mark.parametrize("k", [1, 2, 4, 7])
def test_there_are_k_groups_numbered_from_zero(k):
    vectors = torch.randn(60, 5, generator=generator(1))
    assert cluster(vectors, k, generator()).unique().tolist() == list(range(k))


def test_everyone_is_in_the_group_of_the_nearest_mean():
    vectors = torch.nn.functional.normalize(torch.randn(60, 5, generator=generator(1)), dim=1)
    groups = cluster(vectors, 4, generator())
    means = torch.stack([vectors[groups == group].mean(0) for group in range(4)])
    for vector, group in zip(vectors, groups, strict=True):
        gaps = (means - vector).norm(dim=1)
        assert gaps[group] <= gaps.min() + 1e-6


def test_the_same_generator_gives_the_same_groups():
    vectors = torch.randn(60, 5, generator=generator(1))
    once, again = (cluster(vectors, 4, generator(5)) for _ in range(2))
    assert torch.equal(once, again)
    others = [cluster(vectors, 4, generator(seed)).tolist() for seed in range(5)]
    assert any(other != once.tolist() for other in others)


def test_chance_is_not_taken_from_the_global_generator():
    vectors = torch.randn(60, 5, generator=generator(1))
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    cluster(vectors, 4, generator())
    assert torch.equal(torch.rand(2), expected)


def test_only_directions_count_as_in_the_loss():
    vectors, _ = crowds(seed=2)
    lengths = torch.arange(1, len(vectors) + 1)[:, None]
    near, far = cluster(vectors, 4, generator()), cluster(vectors * lengths, 4, generator())
    assert torch.equal(near, far)


@pytest.mark.parametrize("n_users", [1, 2, 3])
def test_fewer_users_than_groups_are_each_a_group_of_their_own(n_users):
    groups = cluster(torch.eye(5)[:n_users], 4, generator())
    assert sorted(groups.tolist()) == list(range(n_users))


def test_users_who_are_all_alike_are_one_group():
    assert len(cluster(torch.ones(9, 3), 4, generator()).unique()) == 1


def test_a_vector_of_zeros_is_grouped_too():
    vectors = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    groups = cluster(vectors, 2, generator())
    assert groups.shape == (4,)
    assert set(groups.tolist()) == {0, 1}

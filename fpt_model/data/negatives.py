"""Chance, keyed by where it is used: the same seed and step give the same draws, always.

A step seeds every generator anew from (seed, step), so a resumed training draws what an
uninterrupted one would have drawn, and nothing of a generator's state has to be kept.
"""

import torch
from torch import Tensor

from fpt_model.data.sequences import Sequences

_PRIME = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads neighbouring numbers far apart


def seed_step(seed: int, step: int) -> None:
    """Seed torch's generators, of the CPU and of NVIDIA GPUs in use, for one step."""
    number = _mix(seed, step)
    torch.default_generator.manual_seed(number)
    # `torch.manual_seed` prepares for devices that may come as well: 0.4 ms of a step on a CPU
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(number)


def generator(seed: int, purpose: int, number: int) -> torch.Generator:
    """A generator on the CPU for one purpose, e.g. the order of users in an epoch."""
    return torch.Generator().manual_seed(_mix(_mix(seed, purpose), number))


def _mix(first: int, second: int) -> int:
    value = (first * _PRIME + second + 1) * _PRIME % 2**64
    return (value ^ (value >> 31)) % 2**63


class NegativeSampler:
    """Uniform items outside a user's training history, exactly and without rejection.

    The r-th such item (from 0) is r + 1 + s, where s counts the history's items h_0 < h_1 < …
    with h_k - k - 1 ≤ r: one binary search a draw, whatever the length of the history. TiSASRec's
    code redraws until an item is new.
    """

    def __init__(self, sequences: Sequences) -> None:
        device = sequences.device
        self._count(sequences)
        for name in ("keys", "firsts", "counts", "_n_unseen"):
            setattr(self, name, getattr(self, name).to(device))

    def _count(self, sequences: Sequences) -> None:
        """Where the items are: what is in between takes several times as much as what is kept."""
        n_users, n_items = sequences.n_users, sequences.n_items
        users, _, items = sequences.trained()
        keys = (users * (n_items + 1) + items).unique()  # sorted
        owners = keys // (n_items + 1)
        # to whoever took every item nothing is new: they draw from all
        new_left = (torch.bincount(owners, minlength=n_users) < n_items)[owners]
        keys, owners = keys[new_left], owners[new_left]
        self.counts = torch.bincount(owners, minlength=n_users)
        self.firsts = self.counts.cumsum(0) - self.counts
        rank = torch.arange(len(keys), device=keys.device) - self.firsts[owners]
        self.stride = n_items + 1
        self.keys = owners * self.stride + (keys % (n_items + 1) - rank - 1)
        self._n_unseen = n_items - self.counts

    def draw(self, users: Tensor, shape: tuple[int, ...], uniform: Tensor | None = None) -> Tensor:
        """Items of `shape`, whose first dimension is that of `users` (B,), ids from 1.

        Args:
            users: (B,).
            shape: of the draw.
            uniform: float64 of that shape, uniform in [0, 1); torch's generator when not given.
        """
        rows = (users - 1).view(-1, *[1] * (len(shape) - 1)).expand(shape)
        if uniform is None:
            uniform = torch.rand(shape, device=users.device, dtype=torch.float64)
        unseen = self._n_unseen[rows]
        place = (uniform * unseen).long().clamp(max=(unseen - 1).clamp(min=0))
        before = torch.searchsorted(self.keys, rows * self.stride + place, right=True)
        return place + 1 + before - self.firsts[rows]


class SharedNegatives:
    """Items that stand for all others at every position of a step, drawn with replacement.

    Half of them are drawn uniformly, so that every item is among them at times, and half as often
    as they are trained on, since those are the ones that a softmax gives high scores.

    Args:
        sequences: whose training parts say how often.
        count: K, of a step.
    """

    def __init__(self, sequences: Sequences, count: int) -> None:
        self.device = sequences.device
        *_, self.trained = sequences.trained()  # stay where they are
        self.n_items, self.uniform, self.often = sequences.n_items, count - count // 2, count // 2
        counts = torch.bincount(self.trained, minlength=self.n_items + 1).to(self.device)
        share = counts / len(self.trained)
        expected = self.uniform / self.n_items + self.often * share
        self.log_expected = expected.log()  # (I + 1,)

    def draw(self, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Items (K,), ids from 1, and the logarithm of how often each is expected among them."""
        count = self.uniform + self.often
        chance = torch.rand(count, generator=generator, device=self.device, dtype=torch.float64)
        even, often = chance.split([self.uniform, self.often])
        place = (often * len(self.trained)).long().to(self.trained.device)
        items = torch.cat([1 + (even * self.n_items).long(), self.trained[place].to(self.device)])
        return items, self.log_expected[items]


def sse_replace(ids: Tensor, rate: float, n_ids: int) -> Tensor:
    """Stochastic shared embeddings (SSE-PT, section 3.2): some ids become others, at random.

    Args:
        ids: any shape; 0 (padding) stays.
        rate: of being replaced.
        n_ids: ids are 1 to `n_ids`.
    """
    if not rate:
        return ids
    others = torch.randint_like(ids, 1, n_ids + 1)
    replaced = torch.rand(ids.shape, device=ids.device) < rate
    return torch.where(replaced & (ids > 0), others, ids)

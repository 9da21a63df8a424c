"""One encoder, of which all six variants are configurations.

Ancestors: SASRec (Kang & McAuley, 2018), TiSASRec (Li, Wang & McAuley, WSDM 2020), SSE-PT (Wu et
al., RecSys 2020), SAS-FPT (the paper: sections 3.2 to 3.4). What differs from a textbook decoder:

- the input is a concatenation, r = concat(item, week, user, rating); a width of 0 leaves a part
  out (the rating is ours, not the papers');
- queries come from the normalised input, keys and values from the input itself, and the residual
  is added to the normalised query (TiSASRec's code);
- with intervals, positions and time gaps are learned vectors on keys and values (TiSASRec, eq. 6
  to 8); without, positions are added to the input (SASRec);
- no output projection; the pointwise layers keep the width; one more LayerNorm at the end.

What differs from the authors' code: padded *keys* are masked, not padded queries (mask `queries`
does as they do); dropout falls on the elements of the interval table, not on each pair's copy of
them; user 17 has row 17.

Letters: B batch, T sequence, D width, H heads, W = D / H, R interval rows, I items, N negatives.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpt_model.config import Config
from fpt_model.data import RATINGS, WEEKS, Windows
from fpt_model.intervals import Near, attention_weights, interval_attention, near_pairs
from fpt_model.layers import LayerNorm, dropout
from fpt_model.pairs import PairProducts, Pairs


class Encoder(nn.Module):
    """Windows of interactions to a feature for each position, and scores of items by features.

    Args:
        config: which parts, and their sizes.
        n_items: I; item 0 is padding, its vector stays zero.
        n_users: user 0 is nobody in particular; its vector is never trained.
        edges: (E,) ascending, see `interval_rows`; kept with the weights.
    """

    def __init__(self, config: Config, n_items: int, n_users: int, edges: Tensor) -> None:
        super().__init__()
        self.config = config
        self.items = nn.Embedding(n_items + 1, config.item_width, padding_idx=0)
        self.weeks = _table(WEEKS + 1, config.week_width)
        self.users = _table(n_users + 1, config.user_width)
        self.ratings = _table(RATINGS + 1, config.rating_width)
        self.register_buffer("edges", edges)
        self.edges: Tensor
        n_rows = config.time_span + 1 + len(edges)
        # keys and values have tables of their own; without intervals there is one, on the input
        self.positions = _parameters(2 if config.intervals else 1, config.max_length, config.width)
        self.intervals = _parameters(2 if config.intervals else 0, n_rows, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = LayerNorm(config.width, eps=1e-8)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier uniform for every matrix, as in TiSASRec's code; padding stays zero.

        Xavier would start the few rows of weeks and ratings many times larger than the items', and
        they would drown them (docs/experiments.md): both tables get the items' bound.
        """
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        with torch.no_grad():
            bound = math.sqrt(6 / sum(self.items.weight.shape))
            for table in (self.weeks, self.ratings):
                if table is not None:
                    table.weight.uniform_(-bound, bound)
            for table in (self.items, self.weeks, self.users, self.ratings):
                if table is not None:
                    table.weight[0] = 0

    def forward(
        self, windows: Windows, latest: int | None = None, users: Tensor | None = None
    ) -> Tensor:
        """Features of every position, (B, T, D); those of padded positions mean nothing.

        Args:
            windows: B of them.
            latest: how many positions of the last block are asked for, all when not said.
            users: (B, user_width), in place of the vectors of `windows.users`.
        """
        config = self.config
        real = windows.items > 0  # (B, T)
        length = windows.items.shape[1]
        mask = self._mask(real)
        x = self._inputs(windows, users)  # (B, T, D)
        if not config.intervals:
            x = x + self._position_vectors(0, real)
        x = self._padded(self._dropped(x), real)
        seen = [length] * (config.blocks - 1) + [latest or length]
        near = {n: self._near(windows, real, n) for n in set(seen)} if config.intervals else {}
        for block, n in zip(self.blocks, seen, strict=True):
            time = self._time(near[n], real) if near else None
            x = self._padded(block(x, mask[:, :, -n:], time), real)
        return self.norm(x)

    def _mask(self, real: Tensor) -> Tensor:
        """(B, 1, T, T), true where i may look at j."""
        batch, length = real.shape
        causal = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
        if self.config.mask == "queries":
            return causal.expand(batch, 1, length, length)
        itself = torch.eye(length, dtype=torch.bool, device=real.device)
        return (causal & real[:, None, :] | itself)[:, None]

    def _padded(self, x: Tensor, real: Tensor) -> Tensor:
        """What a block gets, (B, N, D) of the latest N positions.

        Where padded keys are looked at, the authors make their inputs zero before each block: a
        padded key is then the bias of the product and the vectors of its place and interval. What
        a padded query sees is lost with that.
        """
        if self.config.mask == "keys":
            return x
        return x * real[:, -x.shape[1] :, None]

    def _near(self, windows: Windows, real: Tensor, latest: int) -> list[Near]:
        config, times, padded = self.config, windows.times, (~real).sum(1)
        if config.mask == "queries":  # padding lies one unit before the first interaction
            times = torch.where(real, times, -windows.scales[:, None])
            padded = torch.zeros_like(padded)
        return near_pairs(
            windows.asked,
            times,
            windows.scales,
            padded,
            config.time_span,
            self.edges,
            config.heads,
            latest,
        )

    def _time(self, near: list[Near], real: Tensor) -> "Time":
        """With dropout of its own for each block."""
        return Time(
            near,
            (self._dropped(self.intervals[0]), self._dropped(self.intervals[1])),
            (
                self._dropped(self._position_vectors(0, real)),
                self._dropped(self._position_vectors(1, real)),
            ),
        )

    def score(self, features: Tensor, items: Tensor) -> Tensor:
        """Scores of chosen items: features (…, D) and items (…) or (…, C) to the shape of items.

        The paper concatenates week and user on the output side as well. For one user and moment
        that adds the same number to every item's score, so it can't change a rank: it is left
        out, and the first `item_width` features meet the item's vector.
        """
        features = features[..., : self.config.item_width].flatten(0, -2)  # (Q, item_width)
        query = torch.arange(len(features) + 1, device=items.device, dtype=torch.int32)
        each = items.numel() // len(features)
        queries = query[:-1].repeat_interleave(each)
        pairs = Pairs(items.flatten().int(), query * each, queries, len(self.items.weight))
        return PairProducts.apply(features, self.items.weight, pairs).view_as(items)

    def score_all(self, features: Tensor) -> Tensor:
        """Scores of every item: features (…, D) to (…, I + 1); column 0 is padding."""
        return features[..., : self.config.item_width] @ self.items.weight.T

    def regularised(self) -> list[Tensor]:
        """The tables whose norm is penalised (TiSASRec's code: item, position, interval)."""
        return [self.items.weight, *self.positions, *self.intervals]

    def _inputs(self, windows: Windows, users: Tensor | None) -> Tensor:
        """r = concat(item, week, user, rating), scaled as in SASRec: (B, T, D)."""
        parts = [self.items(windows.items)]
        if self.weeks is not None:
            parts.append(self.weeks(windows.weeks))
        if self.users is not None:
            users = self.users(windows.users) if users is None else users
            parts.append(users[:, None].expand(-1, windows.items.shape[1], -1))
        if self.ratings is not None:
            parts.append(self.ratings(windows.ratings))
        return torch.cat(parts, dim=2) * math.sqrt(self.config.width)

    def _position_vectors(self, table: int, real: Tensor) -> Tensor:
        """(T, D): position T is the latest, whatever the length of the history."""
        return self.positions[table][-real.shape[1] :]

    def _dropped(self, x: Tensor) -> Tensor:
        return dropout(x, self.config.dropout) if self.training else x


class Time:
    """What a block knows of time.

    Attributes:
        near: the pairs that are near.
        intervals: key and value vectors, (R, D) each.
        positions: key and value vectors, (T, D) each.
    """

    def __init__(
        self, near: list[Near], intervals: tuple[Tensor, Tensor], positions: tuple[Tensor, Tensor]
    ) -> None:
        self.near, self.intervals, self.positions = near, intervals, positions


class Block(nn.Module):
    """Attention and two pointwise layers (SASRec, section 3.3; TiSASRec, section 3.4)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, config.dropout
        self.norm_attention = LayerNorm(width, eps=1e-8)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.norm_pointwise = LayerNorm(width, eps=1e-8)
        self.pointwise_1, self.pointwise_2 = (nn.Linear(width, width) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor, time: Time | None) -> Tensor:
        """(B, T, D) and a mask (B, 1, N, T) to (B, N, D), of the latest N positions."""
        query = self.norm_attention(x[:, -mask.shape[2] :])
        x = query + self._attend(query, x, mask, time)
        x = self.norm_pointwise(x)
        hidden = F.relu(self._dropped(self.pointwise_1(x)))
        return x + self._dropped(self.pointwise_2(hidden))

    def _attend(self, query: Tensor, x: Tensor, mask: Tensor, time: Time | None) -> Tensor:
        q = self._split(self.query(query))
        k, v = self.key(x), self.value(x)
        rate = self.dropout if self.training else 0.0
        if time is None:
            weights = attention_weights(q, self._split(k), mask, rate=rate)
            return self._join(weights @ self._split(v))
        # q·(k_j + p_j) and Σ a_ij (v_j + p_j): positions merge into keys and values exactly
        k, v = self._split(k + time.positions[0]), self._split(v + time.positions[1])
        tables = tuple(self._split(table[None])[0] for table in time.intervals)  # (H, R, W)
        return self._join(
            interval_attention(q, k, v, mask, time.near, (tables[0], tables[1]), rate)
        )

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, H, T, W)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _join(self, x: Tensor) -> Tensor:
        """(B, H, T, W) to (B, T, D)."""
        return x.transpose(1, 2).flatten(2)

    def _dropped(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout) if self.training else x


def _table(rows: int, width: int) -> nn.Embedding | None:
    return nn.Embedding(rows, width, padding_idx=0) if width else None


def _parameters(count: int, rows: int, width: int) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(torch.empty(rows, width)) for _ in range(count))

"""One encoder, of which all variants are configurations.

Ancestors: SASRec (Kang & McAuley, 2018), TiSASRec (Li, Wang & McAuley, WSDM 2020), SSE-PT (Wu et
al., RecSys 2020), SAS-FPT (the paper: sections 3.2 to 3.4). What differs from a textbook decoder:

- the input is a concatenation of vectors, one of each row of `fpt_model/features.py`; the papers
  have item, week and user, a width of 0 leaves one out;
- queries come from the normalised input, keys and values from the input itself, and the residual
  is added to the normalised query (TiSASRec's code);
- with intervals, positions and time gaps are learned vectors on keys and values (TiSASRec, eq. 6
  to 8); without, positions are added to the input (SASRec);
- no output projection; the pointwise layers keep the width; one more LayerNorm at the end.

With setting `block` = `hstu` its blocks are those of `fpt_model/model/hstu.py`: time gaps and
distances are biases there, and positions are on the input.

What differs from the authors' code: padded *keys* are masked, not padded queries (mask `queries`
does as they do); dropout falls on the elements of the interval table, not on each pair's copy of
them; user 17 has row 17.

Letters: B batch, T sequence, N latest positions, D width, H heads, W = D / H, R interval buckets,
I items.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fpt_model.config import Config
from fpt_model.data.sequences import SequenceBatch
from fpt_model.features import FEATURES, Feature
from fpt_model.model.fixed_point import bucket_sums, by_bucket, embedding
from fpt_model.model.hstu import HstuBlock
from fpt_model.model.intervals import interval_rows, scaled_intervals
from fpt_model.model.layer_norm import LayerNorm

Dropout = Callable[[Tensor, str], Tensor]
"""What is left of a tensor at a site. Chance says it in training, a test says it for both sides.

Sites are `inputs` and, of block n, `blocks.n.` with `key_intervals`, `value_intervals`,
`key_positions`, `value_positions` (the tables), `attention` (the weights), `hidden` or `output` (of
the pointwise layers); of an HSTU block `attention` and `gated`.
"""


class Encoder(nn.Module):
    """Windows of interactions to a feature for each position, and scores of items by features.

    Args:
        config: which parts, and their sizes.
        n_items: I; item 0 is padding, its vector stays zero.
        n_users: user 0 is nobody in particular; its vector is never trained.
        edges: (E,) ascending, see `interval_rows`; kept with the weights.
        of_items: see `Sequences.item_features`; the inputs that items have numbers of.
    """

    items: nn.Embedding
    users: nn.Embedding | None
    edges: Tensor

    def __init__(
        self,
        config: Config,
        n_items: int,
        n_users: int,
        edges: Tensor,
        of_items: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        counts = {"items": n_items, "users": n_users}
        for name, numbers in (of_items or {}).items():
            counts[name] = int(numbers.max())
            self.register_buffer(f"{name}_of_items", numbers, persistent=False)
        for feature in FEATURES:
            rows, width = counts.get(feature.name, feature.rows), getattr(config, feature.width)
            setattr(self, feature.name, _table(rows + 1, width) if width else None)
        self.register_buffer("edges", edges)
        n_buckets = config.time_span + 1 + len(edges)
        # keys and values have tables of their own; or there is one of positions, on the input
        self.positions = _parameters(2 if config.on_pairs else 1, config.max_length, config.width)
        self.intervals = _parameters(2 if config.on_pairs else 0, n_buckets, config.width)
        self.blocks = nn.ModuleList(_block(config, n_buckets) for _ in range(config.blocks))
        self.norm = LayerNorm(config.width, eps=1e-8)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier uniform for every matrix, as in TiSASRec's code, but see `Feature.as_items`."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        with torch.no_grad():
            bound = math.sqrt(6 / sum(self.items.weight.shape))
            for feature, table in self.tables():
                if feature.as_items:
                    table.uniform_(-bound, bound)
                table[0] = 0

    def tables(self) -> list[tuple[Feature, Tensor]]:
        """The inputs that there are, each with its vectors."""
        found = [(feature, getattr(self, feature.name)) for feature in FEATURES]
        return [(feature, table.weight) for feature, table in found if table is not None]

    def forward(
        self,
        windows: SequenceBatch,
        latest: int | None = None,
        users: Tensor | None = None,
        dropout: Dropout | None = None,
        items: Tensor | None = None,
    ) -> Tensor:
        """Features of every position, (B, T, D); those of padded positions mean nothing.

        Args:
            windows: B of them.
            latest: N, how many positions of the last block are asked for; all when not said.
            users: (B, user_width), in place of the vectors of `windows.users`.
            dropout: what is dropped; at random in training, nothing otherwise, when not said.
            items: (B, T, item_width), in place of the vectors of `windows.items`, from a table
                that is elsewhere.
        """
        drop = dropout or self._random_dropout
        real = windows.items > 0  # (B, T)
        x = self._embed(windows, {"users": users, "items": items})  # (B, T, D)
        if not self.config.on_pairs:
            x = x + self._positions(0, real)
        x = drop(x, "inputs")

        mask = self._mask(real)  # (B, 1, T, T)
        buckets = self._buckets(windows, real) if self.config.intervals else None
        for number, block in enumerate(self.blocks):
            if self.config.mask == "queries":
                # A padded key is then the bias of the product and the vectors of its place and
                # interval: the authors make padded inputs zero before each block.
                x = x * real[:, :, None]
            if number == self.config.blocks - 1 and latest:
                mask = mask[:, :, -latest:]  # (B, 1, N, T)
                buckets = buckets if buckets is None else buckets[:, :, -latest:]
            of_block = _within(f"blocks.{number}", drop)
            time: Time | Tensor | None = buckets
            if buckets is not None and self.config.on_pairs:
                time = self._time(buckets, real, of_block)
            x = block(x, mask, time, of_block)
        return self.norm(x)

    def _random_dropout(self, x: Tensor, _: str) -> Tensor:
        return F.dropout(x, self.config.dropout, self.training)

    def _embed(
        self, windows: SequenceBatch, given: Mapping[str, Tensor | None] | None = None
    ) -> Tensor:
        """r, the inputs side by side, scaled as in SASRec: (B, T, D).

        Args:
            windows: B of them.
            given: vectors by the name of an input, in place of its table's.
        """
        parts = []
        for feature, table in self.tables():
            own = given.get(feature.name) if given else None
            if own is None:
                own = embedding(table, self.numbers(feature, windows))
            if feature.per == "sequence":
                own = own[:, None].expand(-1, windows.items.shape[1], -1)
            parts.append(own.sum(2) if feature.per == "item" else own)  # (B, T, width)
        return torch.cat(parts, dim=2) * math.sqrt(self.config.width)

    def numbers(self, feature: Feature, windows: SequenceBatch) -> Tensor:
        """(B, T), of a sequence (B,), of an item (B, T, G): rows of an input's table."""
        if feature.per == "item":
            of_items: Tensor = getattr(self, f"{feature.name}_of_items")
            return of_items[windows.items]
        numbers: Tensor = getattr(windows, feature.name)
        return numbers

    def _positions(self, table: int, real: Tensor) -> Tensor:
        """(T, D): position T is the latest, whatever the length of the history."""
        positions, length = self.positions[table], real.shape[1]
        return positions if length == len(positions) else positions[-length:]

    def _mask(self, real: Tensor) -> Tensor:
        """(B, 1, T, T) or (1, 1, T, T): 0 where i may look at j, else minus infinity."""
        length = real.shape[1]
        seen = torch.ones(1, 1, length, length, dtype=torch.bool, device=real.device).tril()
        if self.config.mask == "keys":
            itself = torch.eye(length, dtype=torch.bool, device=real.device)
            seen = seen & real[:, None, None, :] | itself
        return torch.where(seen, 0.0, -math.inf)

    def _buckets(self, windows: SequenceBatch, real: Tensor) -> Tensor:
        """(B, 1, T, T), the row of the interval tables for what i sees of j."""
        times = windows.times
        if self.config.mask == "queries":  # padding lies one unit before the first interaction
            times = torch.where(real, times, -windows.scales[:, None])
        intervals = scaled_intervals(windows.query_times, times, windows.scales)
        return interval_rows(intervals, self.config.time_span, self.edges)[:, None]

    def _time(self, buckets: Tensor, real: Tensor, drop: Dropout) -> "Time":
        """With dropout of its own for each block."""
        return Time(
            buckets,
            drop(self.intervals[0], "key_intervals"),
            drop(self.intervals[1], "value_intervals"),
            drop(self._positions(0, real), "key_positions"),
            drop(self._positions(1, real), "value_positions"),
        )

    def score(self, features: Tensor, items: Tensor) -> Tensor:
        """Scores of chosen items: features (…, D) and items (…) or (…, C) to the shape of items.

        The paper concatenates week and user on the output side as well. For one user and moment
        that adds the same number to every item's score, so it can't change a rank: it is left
        out, and the first `item_width` features meet the item's vector.
        """
        features = features[..., : self.config.item_width]
        if items.dim() == features.dim():
            features = features.unsqueeze(-2)
        return (features * embedding(self.items.weight, items)).sum(-1)

    def score_all(self, features: Tensor) -> Tensor:
        """Scores of every item: features (…, D) to (…, I + 1); column 0 is padding."""
        return features[..., : self.config.item_width] @ self.items.weight.T

    def regularised(self) -> list[Tensor]:
        """The tables whose norm is penalised (TiSASRec's code: item, position, interval)."""
        return [self.get_parameter(name) for name in self.penalised()]

    def penalised(self) -> list[str]:
        """Their names."""
        names = ("items", "positions", "intervals")
        return [name for name, _ in self.named_parameters() if name.startswith(names)]


class Block(nn.Module):
    """Attention and two pointwise layers (SASRec, section 3.3; TiSASRec, section 3.4)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm_attention = LayerNorm(width, eps=1e-8)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.norm_pointwise = LayerNorm(width, eps=1e-8)
        self.pointwise_1, self.pointwise_2 = (nn.Linear(width, width) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor, time: "Time | None", drop: Dropout) -> Tensor:
        """(B, T, D) and a mask (B, 1, N, T) to (B, N, D), of the latest N positions."""
        query = self.norm_attention(x[:, -mask.shape[2] :])
        x = self.norm_pointwise(query + self.attend(query, x, mask, time, drop))
        hidden = F.relu(drop(self.pointwise_1(x), "hidden"))
        return x + drop(self.pointwise_2(hidden), "output")

    def attend(
        self, query: Tensor, x: Tensor, mask: Tensor, time: "Time | None", drop: Dropout
    ) -> Tensor:
        """Queries (B, N, D) of the latest places to what they see of all, (B, T, D)."""
        scale = 1 / math.sqrt(x.shape[2] // self.heads)  # of scores; W_q is smaller
        q = self._split(F.linear(query, self.query.weight * scale, self.query.bias * scale))
        k = self._split(_placed(self.key, x, time and time.key_positions))
        v = self._split(_placed(self.value, x, time and time.value_positions))
        scores = q @ k.transpose(2, 3) + mask  # (B, H, N, T)
        if time is not None:
            keys = self._split(time.key_intervals[None])[0]  # (H, R, W)
            scores = scores + by_bucket(torch.einsum("bhnw,hrw->bhnr", q, keys), time.buckets)
        weights = drop(scores.softmax(3), "attention")
        out = weights @ v  # (B, H, N, W)
        if time is not None:
            values = self._split(time.value_intervals[None])[0]  # (H, R, W)
            sums = bucket_sums(weights, time.buckets, values.shape[1])  # (B, H, N, R)
            out = out + torch.einsum("bhnr,hrw->bhnw", sums, values)
        return out.transpose(1, 2).flatten(2)  # (B, N, D)

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, D) to (B, H, T, W)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Time(NamedTuple):
    """What a block knows of time (TiSASRec, section 3.4).

    The paper adds vectors of the pair's interval to keys and values, tensors of (B, T, T, D). Here
    q · E_K[r] is looked up among the products with all R rows, and the weights of pairs in the same
    bucket are summed before they meet E_V.

    Attributes:
        buckets: (B, 1, N, T), row of the tables for each pair.
        key_intervals, value_intervals: (R, D), E_K and E_V.
        key_positions, value_positions: (T, D).
    """

    buckets: Tensor
    key_intervals: Tensor
    value_intervals: Tensor
    key_positions: Tensor
    value_positions: Tensor


def _placed(layer: nn.Linear, x: Tensor, positions: Tensor | None) -> Tensor:
    """x Wᵀ + (b + p), where p (T, D) is of positions: both at once, x (B, T, D) being large."""
    return layer(x) if positions is None else F.linear(x, layer.weight) + (layer.bias + positions)


def _table(rows: int, width: int) -> nn.Embedding:
    """To be initialised. Its own first draw is not taken where it takes seconds: a seed's weights
    are what they always were for tables that are smaller."""
    if rows * width < 1 << 26:
        return nn.Embedding(rows, width, padding_idx=0)
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False, padding_idx=0)


def _block(config: Config, n_buckets: int) -> Block | HstuBlock:
    return HstuBlock(config, n_buckets) if config.block == "hstu" else Block(config)


def _within(place: str, drop: Dropout) -> Dropout:
    return lambda x, site: drop(x, f"{place}.{site}")


def _parameters(count: int, rows: int, width: int) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(torch.empty(rows, width)) for _ in range(count))

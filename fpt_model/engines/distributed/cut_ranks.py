"""Ranks of held-out items by an item table that is cut over ranks.

Every rank computes the features of all users, which takes little beside the scores, and scores its
own items. What they count is added up, and their first items are merged.

Letters: B users of a batch, O items of this rank, K places.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.data.sequences import Sequences, Split
from fpt_model.engines.distributed.table import CutRows
from fpt_model.evaluation.ranks import (
    TOP,
    Protocol,
    Ranks,
    compare_drawn,
    evaluated,
    filled,
    held_out_items,
    joined,
    left_out,
    refuse_nan,
    signs,
    users_at_once,
)
from fpt_model.evaluation.top_items import highest_columns
from fpt_model.model.encoder import Encoder


class CutRanks:
    """A model whose item table is elsewhere, and that table. Of each rank; all are called alike.

    Args:
        model: all but the items.
        table: of items.
        sequences: what it is trained on.
    """

    def __init__(self, model: Encoder, table: CutRows, sequences: Sequences) -> None:
        self.model, self.table, self.sequences = model, table, sequences

    @torch.no_grad()
    def rank(self, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        """See `evaluation.ranks.rank`; the same on each rank."""
        self.model.eval()
        # by what all ranks know: one may have a row more, and none may take other users at a time
        rows, size = evaluated(self.sequences), users_at_once(self.table.most)
        return joined([self._of(some, size, split, protocols) for some in rows.split(size)])

    def _of(self, rows: Tensor, size: int, split: Split, protocols: tuple[Protocol, ...]) -> Ranks:
        features = self._features(filled(rows, size), split)[: len(rows)]  # (B, W)

        def score(items: Tensor) -> Tensor:
            return (features[:, None] * self.table.vectors(items)).sum(2)

        found = compare_drawn(rows, score, self.sequences, split)
        if protocols == ("uniform_100",):
            return found
        all_items, counts, lists = self._among_all(rows, features, split)
        return Ranks(
            found.users,
            {**found.ranks, "full": all_items},
            {**found.n_candidates, "full": counts},
            lists,
        )

    def _features(self, rows: Tensor, split: Split) -> Tensor:
        """What meets items, (B, W)."""
        sequences, config = self.sequences, self.model.config
        windows = sequences.windows(rows, sequences.held_out(rows, split), config.max_length)
        items = self.table.vectors(windows.items)
        features = self.model(windows, latest=1, items=items)
        return features[:, -1, : config.item_width]

    def _among_all(
        self, rows: Tensor, features: Tensor, split: Split
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Ranks and numbers of candidates (B,), and of the test split lists (B, K)."""
        table, targets = self.table, held_out_items(self.sequences, rows, split)[:, 0]
        scores = features @ table.weight.T  # (B, O)
        if table.number == 0:
            scores[:, 0] = float("-inf")
        mine = table.is_own(targets)
        at, place = mine.nonzero()[:, 0], table.place_of(targets[mine])
        own = torch.zeros_like(features[:, :1])
        own[at, 0] = scores[at, place]
        own = table.summed(own)
        refuse_nan(own)
        owner, items = left_out(self.sequences, rows, split)
        there = table.is_own(items)
        scores[owner[there], table.place_of(items[there])] = float("-inf")
        lead = table.summed(signs(scores, own).double())
        refuse_nan(lead)
        counts = 1 + table.summed((scores > float("-inf")).sum(1))
        ranks = (1 + (lead + table.count) / 2).float()
        if split != "test":
            return ranks, counts, None
        scores[at, place] = own[at, 0]
        return ranks, counts, self._first(scores)

    def _first(self, scores: Tensor) -> Tensor:
        """See `Ranks.lists`."""
        table = self.table
        values, places = highest_columns(scores, TOP)
        items = places * table.world + table.number
        short = TOP - values.shape[1]
        values, items = F.pad(values, (0, short), value=float("-inf")), F.pad(items, (0, short))
        values, items = table.joined(values), table.joined(items)
        items, order = items.sort(dim=1, stable=True)
        values, best = values.gather(1, order).sort(dim=1, descending=True, stable=True)
        items = items.gather(1, best).masked_fill(values == float("-inf"), 0)
        return items[:, : min(TOP, table.count - 1)]

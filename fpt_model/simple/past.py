"""What a simple model is fitted on: the training part of every history, end to end."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from fpt_model.data.sequences import Sequences

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Past:
    """The training parts of N users, L interactions in all; items are 1 to `n_items`.

    Attributes:
        items: (L,).
        starts: (N + 1,), user u's are `items[starts[u - 1]:starts[u]]`.
        n_items: I.
        comes_again: whether a user may have an item more than once.
    """

    items: Integers
    starts: Integers
    n_items: int
    comes_again: bool = False

    @property
    def owners(self) -> Integers:
        """(L,) rows of the users."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def pairs(self, lag: int) -> tuple[Integers, Integers, Integers]:
        """Of one user, so far apart: earlier items, later ones, and how many come after those."""
        owners = self.owners
        first = np.flatnonzero(owners[:-lag] == owners[lag:]) if lag < len(owners) else owners[:0]
        after = self.starts[1:][owners[first]] - 1 - (first + lag)
        return self.items[first], self.items[first + lag], after

    def once(self) -> "Past":
        """Each user's items once, in no order that matters."""
        if not self.comes_again:
            return self
        keys = np.unique(self.owners * (self.n_items + 1) + self.items)
        owners, items = np.divmod(keys, self.n_items + 1)
        lengths = np.bincount(owners, minlength=len(self.starts) - 1)
        return Past(items, np.concatenate([[0], np.cumsum(lengths)]), self.n_items)

    def counts(self) -> Integers:
        """(I + 1,) interactions of each item; 0 is padding."""
        return np.bincount(self.items, minlength=self.n_items + 1)

    def together(self) -> Iterator[tuple[int, Integers]]:
        """Each item that somebody has, and (I + 1,) how many of its users have each item.

        Nobody may have an item twice, see `once`. One row at a time, so that nothing of the size of
        all pairs is ever held.
        """
        histories = np.split(self.items, self.starts[1:-1])
        order = np.argsort(self.items, kind="stable")
        owners, ends = self.owners[order], np.cumsum(self.counts())
        for item in range(1, self.n_items + 1):
            users = owners[ends[item - 1] : ends[item]]
            if len(users):
                items = np.concatenate([histories[user] for user in users])
                yield item, np.bincount(items, minlength=self.n_items + 1)


def past_of(sequences: Sequences) -> Past:
    """The training part of sequences that are on a CPU."""
    lengths, kept = sequences.lengths.numpy(), sequences.n_train.numpy()
    place = np.arange(len(sequences.items)) - np.repeat(sequences.starts.numpy()[:-1], lengths)
    trained = sequences.items.numpy()[place < np.repeat(kept, lengths)]
    starts = np.concatenate([[0], np.cumsum(kept)])
    return Past(trained, starts, sequences.n_items, sequences.comes_again)

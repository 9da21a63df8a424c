"""Items like those that a user has had, the latest ones before all.

S(i, j) = G(i, j) / sqrt(g(i) g(j)), where G(i, j) is how many users have both and g how many have
one: the cosine of the items' columns (Sarwar et al., WWW 2001). An item's score is the sum of
w(n) S(u_n, j) over those of a user's items that are among its own k most similar ones, w(n) =
0.5 ^ (n / h) for the n-th latest, from 0.
"""

import numpy as np
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch
from fpt_model.errors import ModelError
from fpt_model.evaluation.ranks import Scorer
from fpt_model.simple import memory
from fpt_model.simple.past import Integers, Past, Tensors
from fpt_model.simple.rows import recency, rows_of, sparse, tensors_of, turned, window_length
from fpt_model.simple.settings import SimpleConfig

FITTED_BY = ("neighbours",)
FEW = 20_000  # items, of which all neighbours can be kept: 3.2 GB at most
OF_MANY = 1_000  # neighbours where there are more items
COPIES = 2  # of what is held already, until it is a file: as one array, as bytes
CHECK_EVERY = 256
NONE = np.empty(0, np.int32), np.empty(0, np.float32)


def fit(past: Past, config: SimpleConfig) -> Tensors:
    """S, sparse, the k largest of each column."""
    past = past.once()
    counts, most = past.counts(), most_neighbours(past.n_items, config)
    rows, held = [NONE] * (past.n_items + 1), 0
    for item, together in past.together():
        together[item] = 0
        rows[item] = _neighbours(item, together, counts, most)
        held += sum(part.nbytes for part in rows[item])
        if item % CHECK_EVERY == 0:
            _refuse_large(held)
    _refuse_large(held)
    neighbours = sparse(rows, past.n_items + 1)  # of each row, as S is symmetric before the cut
    return tensors_of(turned(neighbours) if most else neighbours)


def most_neighbours(n_items: int, config: SimpleConfig) -> int:
    """k, 0 for all: where nothing else is said, of many items the nearest alone."""
    return config.neighbours or (0 if n_items <= FEW else OF_MANY)


def _refuse_large(held: int) -> None:
    free = memory.free_bytes()
    if COPIES * held > free:
        raise ModelError(
            "item-kNN with so many neighbours does not fit the memory",
            got=f"{free / memory.GIB:.1f} GiB free",
            expected=f"{COPIES * held / memory.GIB:.1f} GiB and more",
            to_do="Keep fewer of each item: --set neighbours=100",
        )


def _neighbours(
    item: int, together: Integers, counts: Integers, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """The most similar items, and how similar; of equal ones the first."""
    columns = np.flatnonzero(together)
    values = together[columns] / np.sqrt(counts[columns] * float(counts[item]))
    if most and len(columns) > most:
        best = np.sort(np.argsort(-values, kind="stable")[:most])
        columns, values = columns[best], values[best]
    return columns.astype(np.int32), values.astype(np.float32)


def scorer(tensors: Tensors, config: SimpleConfig) -> Scorer:
    """By the sum of a user's rows of S."""
    similar = rows_of(tensors, len(tensors["starts"]) - 1)

    def score(windows: SequenceBatch) -> Tensor:
        return similar.sums(windows.items, recency(windows, config.half_life))

    return score


def length(config: SimpleConfig) -> int | None:
    """Of the window."""
    return window_length(config.half_life)

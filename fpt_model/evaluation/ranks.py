"""Ranks of held-out items under both protocols, from one score of every item.

Letters: B users of a batch, I items, C candidates.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, runtime_checkable
from typing import Protocol as Interface

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch, Sequences, Split
from fpt_model.errors import ModelError
from fpt_model.evaluation.top_items import highest

Protocol = Literal["uniform_100", "full"]
PROTOCOLS: tuple[Protocol, ...] = ("uniform_100", "full")
Scorer = Callable[[SequenceBatch], Tensor]
"""Windows of B users to the scores of every item, (B, I + 1); column 0 is padding."""


@runtime_checkable
class ScorerOfSome(Interface):
    """A scorer that need not score every item."""

    def of_some(self, windows: SequenceBatch, /) -> Callable[[Tensor], Tensor]:
        """Windows of B users to what scores items (b, C), a row for each of the first b of them."""


Scored = tuple[Tensor, Tensor]
"""Rows of users (B,) and the scores of every item, (B, I + 1)."""

# Fixed, and the last batch is filled up: the shape of a product can change its rounding, and a
# rank must not depend on who else is ranked.
BATCH = 256
SCORES = 1 << 27  # of a batch at most, 512 MiB; a rank takes three times as much
TOP = 20  # places of a list: the last cut-off of the metrics


@dataclass(frozen=True)
class Ranks:
    """Ranks of one split.

    Attributes:
        users: (N,) ids of the users with a held-out item.
        ranks: for each protocol (N,) float32.
        n_candidates: for each protocol (N,) int64, the held-out item included.
        lists: (N, K) int64, the items that stand first among all that the test item is ranked
            among, itself too; equal scores in the order of their items, 0 where there are no
            more. None of validation, and of engines that keep no scores.
    """

    users: Tensor
    ranks: dict[Protocol, Tensor]
    n_candidates: dict[Protocol, Tensor]
    lists: Tensor | None = None


def rank(
    score: Scorer,
    sequences: Sequences,
    split: Split,
    length: int,
    protocols: tuple[Protocol, ...] = PROTOCOLS,
    rows: Tensor | None = None,
) -> Ranks:
    """Rank each user's held-out item by a model.

    Args:
        score: the model.
        sequences: on the model's device.
        split: which held-out item; what lies before it is the input.
        length: of the window.
        protocols: among what to rank.
        rows: of users; all who have held-out items when not given.

    Raises:
        ModelError: there is nobody to evaluate, or a score is NaN.
    """
    rows = evaluated(sequences) if rows is None else rows
    many = users_at_once(sequences.n_items) < BATCH  # items
    if many and protocols == ("uniform_100",) and isinstance(score, ScorerOfSome):
        return _rank_among_drawn(score, sequences, rows, split, length)
    return compare(scored(score, sequences, rows, split, length), sequences, split, protocols)


@torch.no_grad()
def _rank_among_drawn(
    score: ScorerOfSome, sequences: Sequences, rows: Tensor, split: Split, length: int
) -> Ranks:
    """See `rank`; of millions of items only the drawn candidates are scored."""
    parts = []
    for batch_rows in rows.split(BATCH):
        whole = filled(batch_rows, BATCH)
        windows = sequences.windows(whole, sequences.held_out(whole, split), length)
        parts.append(compare_drawn(batch_rows, score.of_some(windows), sequences, split))
    return joined(parts)


def compare(
    batches: Iterable[Scored],
    sequences: Sequences,
    split: Split,
    protocols: tuple[Protocol, ...] = PROTOCOLS,
) -> Ranks:
    """Rank each user's held-out item by the scores of every item.

    Rank = 1 + candidates scored higher + half of those scored equal, so a constant score gets the
    expected rank of chance. The authors' `argsort().argsort()[0]` can put the target first.

    Args:
        batches: see `scored`.
        sequences: on the model's device.
        split: which held-out item.
        protocols: among what to rank.

    Raises:
        ModelError: a score is NaN.
    """
    parts = []
    for batch_rows, scores in batches:
        refuse_nan(scores)
        own = scores.gather(1, held_out_items(sequences, batch_rows, split))
        others = {}
        for protocol in protocols:
            of = _scores_of_drawn if protocol == "uniform_100" else _scores_of_all
            others[protocol] = of(sequences, batch_rows, split, scores)
        found = _ranks(batch_rows, own, others)
        if split == "test" and "full" in others:
            found = replace(found, lists=_first(sequences, batch_rows, own, others["full"]))
        parts.append(found)
    return joined(parts)


def compare_drawn(
    batch_rows: Tensor, score: Callable[[Tensor], Tensor], sequences: Sequences, split: Split
) -> Ranks:
    """`compare` among the drawn candidates, which alone are scored.

    Args:
        batch_rows: (B,) rows of users.
        score: items (B, C), a row for each of these users, to their scores.
        sequences, split: see `compare`.
    """
    candidates = sequences.candidates[split][batch_rows]
    scores = score(torch.cat([held_out_items(sequences, batch_rows, split), candidates], 1))
    refuse_nan(scores)
    others = scores[:, 1:].masked_fill(candidates == 0, float("-inf"))
    return _ranks(batch_rows, scores[:, :1], {"uniform_100": others})


def joined(parts: Sequence[Ranks]) -> Ranks:
    """Ranks of several batches of users, in order."""
    return Ranks(
        users=torch.cat([part.users for part in parts]),
        ranks={name: torch.cat([part.ranks[name] for part in parts]) for name in parts[0].ranks},
        n_candidates={
            name: torch.cat([part.n_candidates[name] for part in parts]) for name in parts[0].ranks
        },
        lists=_joined_lists(parts),
    )


def _joined_lists(parts: Sequence[Ranks]) -> Tensor | None:
    lists = [part.lists for part in parts if part.lists is not None]
    return torch.cat(lists) if len(lists) == len(parts) else None


def _ranks(batch_rows: Tensor, own: Tensor, others: dict[Protocol, Tensor]) -> Ranks:
    """Of own scores (B, 1) among others (B, C), -inf where there is none."""
    ranks, counts = {}, {}
    for protocol, values in others.items():
        # higher less lower, of all columns: higher + equal / 2 is half of them and the columns
        lead = signs(values, own)
        ranks[protocol] = (1 + (lead + values.shape[1]) / 2).float()
        counts[protocol] = 1 + (values > float("-inf")).sum(1)
    return Ranks(batch_rows + 1, ranks, counts)


def signs(values: Tensor, own: Tensor) -> Tensor:
    """(B,) how many of values (B, C) are higher than own (B, 1), less how many are lower."""
    exact = torch.float64 if values.shape[1] >= 1 << 24 else None  # float32 can count no further
    return torch.sub(values, own).sign_().sum(1, dtype=exact)


def _first(sequences: Sequences, rows: Tensor, own: Tensor, scores: Tensor) -> Tensor:
    """See `Ranks.lists`; own scores (B, 1) take their places among those of all other candidates.

    `scores` (B, I + 1), -inf where an item is none of them, is changed.
    """
    place = torch.arange(len(rows), device=rows.device)
    scores[place, held_out_items(sequences, rows, "test")[:, 0]] = own[:, 0]
    values, items = highest(scores, TOP)
    return items.masked_fill(values == float("-inf"), 0)


def held_out_items(sequences: Sequences, rows: Tensor, split: Split) -> Tensor:
    """Of users, (B, 1)."""
    place = sequences.starts[rows] + sequences.held_out(rows, split)
    return sequences.at("items", place)[:, None]


def refuse_nan(scores: Tensor) -> None:
    """Refuse scores that are not finite.

    Raises:
        ModelError: there are such.
    """
    if not torch.isfinite(torch.stack(scores.aminmax())).all():
        raise ModelError("A score is not a number", to_do="Train again with a lower rate")


@torch.no_grad()
def scored(
    score: Scorer, sequences: Sequences, rows: Tensor, split: Split, length: int
) -> Iterator[Scored]:
    """Batches of user rows with the scores of every item by the `length` interactions before."""
    size = users_at_once(sequences.n_items)
    for batch_rows in rows.split(size):
        whole = filled(batch_rows, size)
        windows = sequences.windows(whole, sequences.held_out(whole, split), length)
        yield batch_rows, score(windows)[: len(batch_rows)]


def users_at_once(n_items: int, most: int | None = None) -> int:
    """How many users are scored at a time, by the number of items alone.

    Args:
        n_items: of which each has a score.
        most: users; `BATCH` when not said.
    """
    return max(1, min(most or BATCH, SCORES // (n_items + 1)))


def filled(rows: Tensor, size: int) -> Tensor:
    """Rows (B,) and the first of them again, up to a size."""
    return torch.cat([rows, rows[:1].expand(size - len(rows))])


def evaluated(sequences: Sequences) -> Tensor:
    """Rows of the users with held-out items.

    Raises:
        ModelError: there are none.
    """
    rows = sequences.evaluated()
    if not len(rows):
        raise ModelError("Nobody has held-out items", expected="users with three interactions")
    return rows


def _scores_of_drawn(sequences: Sequences, rows: Tensor, split: Split, scores: Tensor) -> Tensor:
    """Scores of the stored candidates besides the target, (B, C); -inf where there is none."""
    candidates = sequences.candidates[split][rows]  # (B, C)
    return scores.gather(1, candidates).masked_fill(candidates == 0, float("-inf"))


def _scores_of_all(sequences: Sequences, rows: Tensor, split: Split, scores: Tensor) -> Tensor:
    """Scores of all items, (B, I + 1), -inf for the target and for the whole history.

    Where items come again, what a user has had is a candidate like any other: were it left out,
    a target that the user has had would stand among items that are all new.
    """
    others = scores.clone()
    others[:, 0] = float("-inf")
    others[left_out(sequences, rows, split)] = float("-inf")
    return others


def left_out(sequences: Sequences, rows: Tensor, split: Split) -> tuple[Tensor, Tensor]:
    """What is no candidate of users (B,): whose, from 0, and which items, one pair after the other.

    That is the whole history; where items come again, the target alone.
    """
    owner = torch.arange(len(rows), device=rows.device)
    if sequences.comes_again:
        return owner, held_out_items(sequences, rows, split)[:, 0]
    lengths = sequences.lengths[rows]
    owner = torch.repeat_interleave(owner, lengths)
    first = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    place = torch.arange(len(owner), device=rows.device) - first + sequences.starts[rows][owner]
    return owner, sequences.at("items", place)

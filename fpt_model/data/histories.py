"""Histories to go on from: those of known users, and those of users that no training has seen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fpt_model.data.clock import LooksBack, scales_of, told
from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.data.tempo import TEMPO, tempo
from fpt_model.errors import ModelError
from fpt_model.features import RATINGS, WEEKS

UNKNOWN_USER = 0  # the row of the user table of those that the snapshot does not know; see `unseen`
_LISTS = ("item_ids", "timestamps", "weeks", "ratings")


@dataclass(frozen=True)
class History:
    """All that one user did, in order.

    Attributes:
        user: id, or `UNKNOWN_USER`.
        items, times, weeks, ratings: (L,) int64; times in seconds, ratings in half stars, 0 where
            nobody knows.
        scale: the user's time scale in seconds.
    """

    user: int
    items: Tensor
    times: Tensor
    weeks: Tensor
    ratings: Tensor
    scale: int

    def to(self, device: torch.device) -> "History":
        """The same on another device."""
        names = ("items", "times", "weeks", "ratings")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def read_histories(path: Path, sequences: Sequences) -> list[History]:
    """The histories that a file asks about; other keys of its objects are the asker's own.

        [{"user_id": 7},
         {"item_ids": [3, 1], "timestamps": [978300000, 978300060], "weeks": [52, 52],
          "ratings": [8, 0], "time_scale": 60}]

    Without `ratings` none is known.

    Raises:
        ModelError: it is no such file, or names users or items that the sequences don't have.
    """
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
        histories = [_history(one, sequences) for one in asked]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} asks about no users", got=f"{type(error).__name__}: {error}"
        ) from error
    if not histories:
        raise ModelError(f"{path} asks about nobody")
    return histories


def _history(one: dict[str, Any], sequences: Sequences) -> History:
    if "user_id" in one:
        return _known(int(one["user_id"]), sequences)
    one = {"ratings": [0] * len(one["item_ids"])} | one
    lists = (torch.tensor(one[name], dtype=torch.int64) for name in _LISTS)
    items, times, weeks, ratings = lists
    wrong = {
        "empty or uneven lists": not 0 < len(items) == len(times) == len(weeks) == len(ratings),
        f"items outside 1 to {sequences.n_items}": _outside(items, 1, sequences.n_items),
        f"weeks outside 1 to {WEEKS}": _outside(weeks, 1, WEEKS),
        f"ratings outside 0 to {RATINGS}": _outside(ratings, 0, RATINGS),
        "timestamps that go back": bool((times.diff() < 0).any()),
        "a time scale under one second": one["time_scale"] < 1,
    }
    found = [name for name, is_so in wrong.items() if is_so]
    if found:
        raise ModelError("A history says what can't be", got="; ".join(found))
    return History(UNKNOWN_USER, items, times, weeks, ratings, int(one["time_scale"]))


def _known(user: int, sequences: Sequences) -> History:
    if not 1 <= user <= sequences.n_users:
        raise ModelError("No such user", got=user, expected=f"1 to {sequences.n_users}")
    own = slice(int(sequences.starts[user - 1]), int(sequences.starts[user]))
    return History(
        user,
        sequences.items[own],
        sequences.times[own],
        sequences.weeks[own],
        sequences.ratings[own],
        int(sequences.scales[user - 1]),
    )


def windows_of(histories: Sequence[History], length: int, model: LooksBack) -> SequenceBatch:
    """The last `length` interactions of each, padded on the left.

    Args:
        histories: N of them.
        length: T.
        model: how they are looked back at; behind the latest interaction nothing is known.
    """
    rows = [_row(one, length, model) for one in histories]
    columns = (torch.stack(column) for column in zip(*rows, strict=True))
    items, times, weeks, ratings, query_times, *others = columns
    scales = torch.tensor([one.scale for one in histories], device=items.device)
    return SequenceBatch(
        items=items,
        times=times,
        weeks=weeks,
        ratings=ratings,
        users=torch.tensor([one.user for one in histories], device=items.device),
        scales=scales_of(model.clock, scales),
        query_times=query_times,
        ends=torch.tensor([len(one.items) for one in histories], device=items.device),
        **dict(zip(TEMPO, others, strict=True)),
    )


def _row(one: History, length: int, model: LooksBack) -> list[Tensor]:
    """Items, times, weeks, ratings, moments and `TEMPO` of one window, (T,) each."""
    times, place = one.times - one.times[0], torch.arange(len(one.items), device=one.items.device)
    seen = place if model.time_reference == "last" else (place + 1).clamp(max=len(place) - 1)
    ends = torch.tensor([0, len(times)])
    pace = tempo(times, ends)
    if model.clock != "seconds":
        times = told(model.clock, pace["gaps"], ends)
    known = one.items, times, one.weeks[seen], one.ratings, times[seen]
    parts = (*known, *(pace[name].long() for name in TEMPO))
    return [F.pad(part[-length:], (max(length - len(part), 0), 0)) for part in parts]


def _outside(values: Tensor, low: int, high: int) -> bool:
    return bool(((values < low) | (values > high)).any())

"""The sequences file as tensors: flat histories, and windows cut from them.

Letters: N users, T window, L all interactions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from fpt_model.data.clock import LooksBack, scales_of, told
from fpt_model.data.tempo import TEMPO, tempo
from fpt_model.errors import ModelError
from fpt_model.features import RATINGS, WEEKS, Feature
from fpt_model.files.finished import checksum
from fpt_model.files.written import Parts

Split = Literal["valid", "test"]
N_CANDIDATES = 100
ITEM_FEATURES = ("genres",)  # what the file's metadata may say of each item
SCHEMA = pa.schema(
    [
        ("user_id", pa.int32()),
        ("item_ids", pa.list_(pa.int32())),
        ("timestamps", pa.list_(pa.int64())),
        ("weeks", pa.list_(pa.int8())),
        ("ratings", pa.list_(pa.int8())),
        ("n_train", pa.int32()),
        ("time_scale", pa.int64()),
        ("valid_candidates", pa.list_(pa.int32())),
        ("test_candidates", pa.list_(pa.int32())),
    ]
)
HISTORIES = ("items", "times", "weeks", "ratings", "query_times", *TEMPO)  # (L,) of `Sequences`
INTERACTIONS = ("item_ids", "timestamps", "weeks", "ratings")
PER_USER = ("lengths", "user_id", "n_train", "time_scale", "valid_candidates", "test_candidates")
Ints = NDArray[np.integer[Any]]


def _unknown() -> Tensor:
    return torch.empty(0, dtype=torch.int8)


@dataclass(frozen=True)
class SequenceBatch:
    """The latest interactions of N users before a point of their history, padded on the left.

    Attributes:
        items: (N, T) int64, 0 where padded.
        times: (N, T) int64, seconds since the user's first interaction, or what `clock` shows.
        weeks: (N, T) int64, 0 where padded.
        ratings: (N, T) int64, half stars that each item was given, 0 where padded or not known.
        users: (N,) int64.
        scales: (N,) int64, the user's time scale in seconds.
        query_times: (N, T) int64, when each place looks back, likewise; never before its `times`.
        ends: (N,) int64, how many interactions of the history lie before the window's end.
        gaps, depths: (N, T) int64, see `fpt_model/data/tempo.py`, 0 where padded or not given.
    """

    items: Tensor
    times: Tensor
    weeks: Tensor
    ratings: Tensor
    users: Tensor
    scales: Tensor
    query_times: Tensor
    ends: Tensor
    gaps: Tensor = field(default_factory=_unknown)
    depths: Tensor = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        for name in TEMPO:
            if not getattr(self, name).numel():
                object.__setattr__(self, name, torch.zeros_like(self.items))

    @property
    def next_positions(self) -> Tensor:
        """(N, T), the number in the history, from 0, of what comes after each interaction."""
        length = self.items.shape[1]
        steps = torch.arange(1 - length, 1, device=self.ends.device)
        return self.ends[:, None] + steps

    def select(self, rows: Tensor) -> "SequenceBatch":
        """The windows of some users, by row."""
        return SequenceBatch(**{name: x.index_select(0, rows) for name, x in vars(self).items()})

    def latest(self, length: int) -> "SequenceBatch":
        """The latest `length` places of each window."""
        own = vars(self).items()
        return SequenceBatch(**{name: x[:, -length:] if x.dim() > 1 else x for name, x in own})


@dataclass(frozen=True)
class Sequences:
    """Every user's whole history; user u's are entries `starts[u - 1]` to `starts[u]`.

    What has an entry for each interaction may stay in the machine's memory while the rest is on a
    GPU; see `fpt_model/data/device_limit.py`. `at` reads it wherever it is.

    Attributes:
        snapshot_id: what it was prepared from.
        sha256: of the file's bytes, which another version of a library may write otherwise.
        values: the hash of what it says, by which it is known; see `fpt_model/files/values.py`.
        n_items: items are 1 to `n_items`.
        items, times, weeks, ratings: (L,) int64; times and ratings as in `SequenceBatch`.
        starts: (N + 1,) int64.
        n_train: (N,) int64, length of each training part.
        scales: (N,) int64.
        candidates: for each split (N, 100) int64, 0 where there are fewer.
        query_times: (L,) int64, when the next item is asked for; see `with_time_reference`.
        comes_again: whether an item may stand in a history more than once. Then each is a
            candidate for everybody, also for whoever has had it.
        item_features: by name of `ITEM_FEATURES`, where it is known, (I + 1, G) int64: the numbers,
            from 1, of each item's genres, filled up with 0.
        gaps, depths: (L,) int8, see `fpt_model/data/tempo.py`; from `times` where
            they are not given.
    """

    snapshot_id: str
    sha256: str
    values: str
    n_items: int
    items: Tensor
    times: Tensor
    weeks: Tensor
    ratings: Tensor
    starts: Tensor
    n_train: Tensor
    scales: Tensor
    candidates: dict[Split, Tensor]
    query_times: Tensor
    comes_again: bool = False
    item_features: dict[str, Tensor] = field(default_factory=dict)
    gaps: Tensor = field(default_factory=_unknown)
    depths: Tensor = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        if not len(self.gaps):
            for name, numbers in tempo(self.times, self.starts).items():
                object.__setattr__(self, name, numbers)

    @property
    def n_users(self) -> int:
        """N."""
        return len(self.n_train)

    @property
    def lengths(self) -> Tensor:
        """(N,) length of each history."""
        return self.starts.diff()

    @property
    def device(self) -> torch.device:
        """Where one computes on them."""
        return self.starts.device

    def at(self, name: str, place: Tensor) -> Tensor:
        """Entries of one of `HISTORIES`, on the device of their places."""
        column: Tensor = getattr(self, name)
        if column.device == place.device:
            return column[place]
        return column[place.to(column.device)].to(place.device)

    def to(self, device: torch.device, histories: torch.device | None = None) -> "Sequences":
        """The same on another device, what has an entry for each interaction on yet another."""
        homes = dict.fromkeys(HISTORIES, histories or device)
        moved: dict[str, Any] = {
            name: value.to(homes.get(name, device)) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        for by_name in ("candidates", "item_features"):
            moved[by_name] = {name: x.to(device) for name, x in moved[by_name].items()}
        return Sequences(**moved)

    def knows(self, feature: Feature) -> bool:
        """Whether there is something to look up for an input."""
        if feature.per == "item":
            return feature.name in self.item_features
        return feature.name != "ratings" or bool(self.ratings.any())

    def with_time_reference(self, time_reference: str) -> "Sequences":
        """The same, looked back at from another time.

        Args:
            time_reference: `last`, each interaction's own time and week; `query`, those of the next
                one, that is when the recommendation is asked for. Behind the latest interaction
                nothing is known, and it is asked for at once. A rating stays with its item: the
                next one's is not given yet.
        """
        if time_reference == "last":
            return self
        later = torch.arange(1, len(self.items) + 1, device=self.items.device)
        later[self.starts[1:].to(later.device) - 1] -= 1  # the latest of each history
        return replace(self, query_times=self.times[later], weeks=self.weeks[later])

    def with_clock(self, clock: str) -> "Sequences":
        """The same, times shown by `Config.clock`; gaps and depths are what they were."""
        if clock == "seconds":
            return self
        shown = told(clock, self.gaps, self.starts)
        return replace(self, times=shown, query_times=shown, scales=scales_of(clock, self.scales))

    def as_seen_by(self, model: LooksBack) -> "Sequences":
        """The same as a model looks back at it."""
        return self.with_clock(model.clock).with_time_reference(model.time_reference)

    def with_validation(self) -> "Sequences":
        """The same, the validation item in the training part."""
        held_out = self.lengths - self.n_train
        return replace(self, n_train=self.n_train + (held_out == 2).long())

    def trained(self) -> tuple[Tensor, Tensor, Tensor]:
        """Interactions of the training parts, user by user, where the histories lie.

        Returns:
            (K,) rows of their users, their numbers in the histories, from 0, and their items.
        """
        home = self.items.device
        starts, n_train = self.starts.to(home), self.n_train.to(home)
        owners = torch.repeat_interleave(starts.diff())
        places = torch.arange(len(owners), device=home) - starts[owners]
        kept = places < n_train[owners]
        return owners[kept], places[kept], self.items[kept]

    def trainable(self) -> Tensor:
        """Rows of the users with something to predict in their training part."""
        return torch.nonzero(self.n_train >= 2).flatten()

    def evaluated(self) -> Tensor:
        """Rows of the users with held-out items."""
        return torch.nonzero(self.lengths > self.n_train).flatten()

    def windows(self, rows: Tensor, before: Tensor, length: int) -> SequenceBatch:
        """Of users `rows` (N,), the last `length` interactions before position `before` (N,)."""
        steps = torch.arange(length, device=rows.device)
        place = (self.starts[rows] + before)[:, None] - length + steps  # (N, T)
        real = place >= self.starts[rows][:, None]
        place = place.clamp(min=0)
        first = self.at("times", self.starts[rows])[:, None]
        return SequenceBatch(
            items=torch.where(real, self.at("items", place), 0),
            times=torch.where(real, self.at("times", place), first),
            weeks=torch.where(real, self.at("weeks", place), 0),
            ratings=torch.where(real, self.at("ratings", place), 0),
            users=rows + 1,
            scales=self.scales[rows],
            query_times=torch.where(real, self.at("query_times", place), first),
            ends=before,
            **{name: torch.where(real, self.at(name, place).long(), 0) for name in TEMPO},
        )

    def held_out(self, rows: Tensor, split: Split) -> Tensor:
        """(N,) positions of the held-out items of a split within their histories."""
        return self.lengths[rows] - (1 if split == "test" else 2)


def load(path: Path, least: int = 1) -> Sequences:
    """Read a sequences file that is whole.

    Args:
        path: the file.
        least: interactions before the two held-out ones; none where only the last is ranked, as
            what came next after a single one.

    Raises:
        ModelError: the file is missing, damaged, or says what can't be.
    """
    parts = Parts(path, made_by="`fpt prepare`")
    if not parts.schema.remove_metadata().equals(SCHEMA):
        raise ModelError(
            f"{path.name} has other columns",
            got=", ".join(f"{field.name} {field.type}" for field in parts.schema),
            expected=", ".join(f"{field.name} {field.type}" for field in SCHEMA),
            to_do="If another version prepared it, run `fpt prepare` again",
        )
    snapshot_id, n_items = _facts(path, parts.schema.metadata or {})
    columns = _Columns(parts)
    sequences = _tensors(path, columns, parts, snapshot_id, n_items)
    _refuse_impossible(path, sequences, columns.user_ids, least)
    return sequences


def _facts(path: Path, metadata: Mapping[bytes, bytes]) -> tuple[str, int]:
    try:
        return metadata[b"snapshot_id"].decode(), int(metadata[b"n_items"])
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path.name} does not say its snapshot_id and n_items") from error


class _Columns:
    """The file's columns as arrays, filled part by part: no more is held than what they are.

    Attributes:
        flat: of each list column of `INTERACTIONS` (L,) int64, timestamps in seconds since each
            user's first.
        lengths, user_ids, n_train, scales: (N,) int64.
        candidates: for each split (N, 100) int64.
    """

    def __init__(self, parts: Parts) -> None:
        self.flat = {name: np.empty(parts.count(name), np.int64) for name in INTERACTIONS}
        self._filled = dict.fromkeys(INTERACTIONS, 0)
        found = [self._part(part) for part in parts]
        one = {name: [part[name] for part in found] for name in PER_USER}
        self.lengths, self.user_ids, self.n_train, self.scales = (
            np.concatenate([np.empty(0, np.int64), *one[name]]) for name in PER_USER[:4]
        )
        self.candidates = {
            name: np.concatenate([np.empty((0, N_CANDIDATES), np.int64), *one[name]])
            for name in PER_USER[4:]
        }
        self.flat = {name: rows[: self._filled[name]] for name, rows in self.flat.items()}

    def _part(self, part: pa.Table) -> dict[str, Ints]:
        """What a part says of its users; of their interactions, it goes where it belongs."""
        lengths = np.diff(part["item_ids"].combine_chunks().offsets.to_numpy()).astype(np.int64)
        for name in INTERACTIONS:
            values = part[name].combine_chunks().flatten().to_numpy()
            if name == "timestamps":
                values = values - _firsts(values, lengths)
            first = self._filled[name]
            self.flat[name][first : first + len(values)] = values
            self._filled[name] = first + len(values)
        numbers = (part[name].to_numpy().astype(np.int64) for name in PER_USER[1:4])
        drawn = (_padded(part, name) for name in PER_USER[4:])
        return dict(zip(PER_USER, (lengths, *numbers, *drawn), strict=True))


def _firsts(values: Ints, lengths: Ints) -> Ints:
    """Of each of the values the first of its user's, which follow each other."""
    starts = (np.cumsum(lengths) - lengths).clip(max=max(len(values) - 1, 0))
    firsts = np.repeat(values[starts], lengths) if len(values) else values
    return firsts if len(firsts) == len(values) else np.zeros_like(values)  # it is refused later


def _tensors(
    path: Path, columns: _Columns, parts: Parts, snapshot_id: str, n_items: int
) -> Sequences:
    metadata = parts.schema.metadata or {}
    flat = {name: torch.from_numpy(rows) for name, rows in columns.flat.items()}
    return Sequences(
        snapshot_id=snapshot_id,
        sha256=checksum(path),
        values=parts.values,
        n_items=n_items,
        items=flat["item_ids"],
        times=flat["timestamps"],
        query_times=flat["timestamps"],
        weeks=flat["weeks"],
        ratings=flat["ratings"],
        starts=torch.from_numpy(np.concatenate([[0], np.cumsum(columns.lengths)])),
        n_train=torch.from_numpy(columns.n_train),
        scales=torch.from_numpy(columns.scales),
        candidates={
            "valid": torch.from_numpy(columns.candidates["valid_candidates"]),
            "test": torch.from_numpy(columns.candidates["test_candidates"]),
        },
        comes_again=metadata.get(b"repeats") == b"all",
        item_features={
            name: _item_features(path, name, metadata[name.encode()], n_items)
            for name in ITEM_FEATURES
            if name.encode() in metadata
        },
    )


def _item_features(path: Path, name: str, said: bytes, n_items: int) -> Tensor:
    """See `Sequences.item_features`."""
    try:
        found = json.loads(said)
        lists, n_names = found["items"], len(found["names"])
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        flat = np.fromiter(chain.from_iterable(lists), np.int64, lengths.sum())
        rows = np.zeros((len(lists) + 1, max(lengths)), np.int64)
        rows[1:][np.arange(rows.shape[1]) < lengths[:, None]] = flat
        numbers = torch.from_numpy(rows)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ModelError(f"{path.name} says no {name} of each item", got=error) from error
    if len(lists) != n_items or _outside(numbers, 0, n_names):
        raise ModelError(f"{path.name} says {name} that can't be", expected=f"1 to {n_names}")
    return numbers


def _padded(table: pa.Table, name: str) -> Ints:
    """(N, 100) rows of a list column, filled up with zeros."""
    lists = table[name].combine_chunks()
    lengths = np.diff(lists.offsets.to_numpy())
    if len(lengths) and lengths.max() > N_CANDIDATES:
        raise ModelError(f"Too many {name}", got=lengths.max(), expected=f"at most {N_CANDIDATES}")
    rows = np.zeros((len(lengths), N_CANDIDATES), np.int64)
    rows[np.arange(N_CANDIDATES) < lengths[:, None]] = lists.flatten().to_numpy()
    return rows


def _refuse_impossible(path: Path, ours: Sequences, user_ids: Ints, least: int) -> None:
    lengths, n_users = ours.lengths, ours.n_users
    held_out = lengths - ours.n_train
    problems = {
        "no users": n_users == 0,
        "user ids are not 1, 2, 3 …": not np.array_equal(user_ids, np.arange(1, n_users + 1)),
        "an empty history": bool((lengths == 0).any()),
        "histories and their times, weeks or ratings differ in length": len(
            {len(ours.items), len(ours.times), len(ours.weeks), len(ours.ratings)}
        )
        > 1,
        f"items outside 1 to {ours.n_items}": _outside(ours.items, 1, ours.n_items),
        f"weeks outside 1 to {WEEKS}": _outside(ours.weeks, 1, WEEKS),
        # nobody's are known, or everybody's
        f"ratings outside 1 to {RATINGS}": _outside(ours.ratings, 1, RATINGS)
        and bool(ours.ratings.any()),
        "candidates outside the items": any(
            _outside(rows, 0, ours.n_items) for rows in ours.candidates.values()
        ),
        "a time scale under one second": _outside(ours.scales, 1, 1 << 62),
        "n_train is neither all nor all but two": not bool(
            ((held_out == 0) | ((held_out == 2) & (ours.n_train >= least))).all()
        ),
        "timestamps that go back": _outside(_within(ours), 0, 1 << 62),
    }
    found = [name for name, wrong in problems.items() if wrong]
    if found:
        raise ModelError(f"{path.name} says what can't be", got="; ".join(found))


def _outside(values: Tensor, low: int, high: int) -> bool:
    return bool(((values < low) | (values > high)).any())


def _within(ours: Sequences) -> Tensor:
    """Gaps between neighbours of the same history."""
    if len(ours.times) != len(ours.items) or len(ours.items) < 2:
        return torch.zeros(1, dtype=torch.int64)
    gaps = ours.times.diff()
    gaps[ours.starts[1:-1] - 1] = 0
    return gaps

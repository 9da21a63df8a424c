"""Who watches what and when: histories drawn from a seed, with four planted signals.

Items belong to clusters. What a user takes next comes, with a chance that is the signal's strength,
from the clusters that the signal points to, and otherwise from everything by popularity:

- sequence: the cluster that follows the last item's cluster;
- gaps: two clusters after a short last gap, two others after a long one: only who knows the gap can
  tell which;
- season: two clusters by the time of the year of the last interaction, which is cut in ten;
- groups: two clusters by the user's hidden group, one of ten, seen well over a long history only.

Seasons and groups point to each cluster alike, so they make none more popular than it was. With all
strengths zero, items are drawn by popularity alone, so nothing can beat popularity.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from warehouse.errors import RefusedError

N_CLUSTERS = 20
N_GROUPS = N_SEASONS = 10
POOL = N_CLUSTERS // N_GROUPS  # clusters that a gap, a season or a group points to
AFTER_SHORT, AFTER_LONG = 2, 12  # first clusters of those that a gap points to
SIGNALS = ("sequence", "gaps", "season", "groups")
BLOCK = 2048
TRIES = 8

DAY = 86_400
YEAR = 365.2425 * DAY
FIRST_DAY = 820_454_400  # 1996-01-01
START_YEARS, SPAN_YEARS = 15.0, 8.0
STAYS = 0.6  # chance that a session goes on
SHORT = (30, 300)  # seconds between interactions of a session: within the models' clip
MEAN_PAUSE_DAYS = 70.0  # so that the season of the session before tells little
SAME_SECOND = 0.05  # chance that a short gap is none
FEW = 0.03  # share of users with one to four interactions

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SyntheticWorld:
    """The size of a world and the strength of its signals.

    Attributes:
        seed: of everything random.
        n_users: users.
        n_items: movies; at least twenty.
        mean_length: interactions a user, on average.
        sequence, gaps, season, groups: chances, together at most 1.
    """

    seed: int = 0
    n_users: int = 1500
    n_items: int = 600
    mean_length: float = 60.0
    sequence: float = 0.25
    gaps: float = 0.15
    season: float = 0.25
    groups: float = 0.25

    def __post_init__(self) -> None:
        limits: dict[str, tuple[int, float]] = {
            "seed": (0, 2**62),
            "n_users": (1, 2**31 - 1),
            "n_items": (N_CLUSTERS, 2**31 - 1),
            "mean_length": (1, self.n_items / 2),
        }
        limits |= dict.fromkeys(SIGNALS, (0, 1))
        for field in fields(self):
            low, high = limits[field.name]
            value = getattr(self, field.name)
            if not low <= value <= high:
                raise RefusedError(
                    f"World's {field.name} is out of range",
                    got=str(value),
                    expected=f"{low} to {high:g}",
                )
        if sum(self.strengths) > 1 + 1e-9:
            raise RefusedError(
                "World's signals are too strong together",
                got=f"{sum(self.strengths):g}",
                expected="at most 1",
            )

    @property
    def strengths(self) -> tuple[float, ...]:
        """In the order of `SIGNALS`."""
        return tuple(getattr(self, name) for name in SIGNALS)


@dataclass(frozen=True)
class Histories:
    """Interactions of a block of users, in each user's order; ids from 1, seconds since 1970."""

    users: Ints
    items: Ints
    times: Ints


class Catalogue:
    """The items: their clusters, their popularity, and where each signal points.

    Items stand in the order of their clusters on a line of length 1, each as wide as it is
    popular, so that drawing from neighbouring clusters is drawing from one stretch of the line.
    """

    def __init__(self, world: SyntheticWorld) -> None:
        rng = np.random.default_rng([world.seed, 0])
        self.clusters = np.sort(rng.permutation(world.n_items) % N_CLUSTERS)
        popularity = 1 / (10 + rng.permutation(world.n_items)) ** 0.8
        self.ends: Floats = np.cumsum(popularity / popularity.sum())
        self.ends[-1] = 1.0
        bounds = np.searchsorted(self.clusters, np.arange(N_CLUSTERS + 1))
        self.edges: Floats = np.concatenate([[0.0], self.ends])[bounds]
        order = rng.permutation(N_CLUSTERS)
        self.follower = order[(np.argsort(order) + 1) % N_CLUSTERS]

    def cluster_of(self, items: Ints) -> Ints:
        """Clusters of items (ids from 1)."""
        return self.clusters[items - 1]

    def draw(self, first: Ints, last: Ints, chance: Floats) -> Ints:
        """Items (ids from 1) of clusters `first` to `last`, by popularity; `chance` in [0, 1)."""
        low, high = self.edges[first], self.edges[last + 1]
        place = np.searchsorted(self.ends, low + chance * (high - low), side="right")
        return place.clip(max=len(self.ends) - 1).astype(np.int64) + 1


def season_of(times: Ints) -> Ints:
    """Tenth of the (mean) year, 0 to 9, of seconds since 1970."""
    return (times % YEAR / YEAR * N_SEASONS).astype(np.int64) % N_SEASONS


def histories(world: SyntheticWorld) -> Iterator[Histories]:
    """Blocks of users, one after the other; the same world gives the same, whatever is read."""
    catalogue = Catalogue(world)
    for number, first in enumerate(range(0, world.n_users, BLOCK)):
        rng = np.random.default_rng([world.seed, 1, number])
        yield _block(world, catalogue, first, min(BLOCK, world.n_users - first), rng)


def _block(
    world: SyntheticWorld, catalogue: Catalogue, first: int, size: int, rng: np.random.Generator
) -> Histories:
    """All steps of `size` users; longest histories first, so that those still active are first."""
    lengths = _lengths(world, size, rng)
    groups = rng.integers(N_GROUPS, size=size)
    times = FIRST_DAY + (rng.random(size) * START_YEARS * YEAR).astype(np.int64)
    pause = np.minimum(MEAN_PAUSE_DAYS, SPAN_YEARS * 365 / ((1 - STAYS) * lengths)) * DAY
    seen = np.zeros((size, world.n_items + 1), bool)
    items = np.zeros(size, np.int64)
    short = np.zeros(size, bool)
    taken: list[tuple[Ints, Ints, Ints]] = []
    for step in range(lengths.max()):
        active = slice(0, int(np.count_nonzero(lengths > step)))
        low, high = _everything(active.stop)
        if step:
            low, high = _pools(world, catalogue, items[active], times, short, groups, rng)
            gaps, short[active] = _gaps(pause[active], rng)
            times[active] += gaps
        chosen = _unseen(catalogue, low, high, seen[active], rng)
        new = np.flatnonzero(chosen)
        seen[new, chosen[new]] = True
        items[new] = chosen[new]
        taken.append((first + new + 1, chosen[new], times[new].copy()))
    users, all_items, all_times = (np.concatenate(column) for column in zip(*taken, strict=True))
    return Histories(users, all_items, all_times)


def _lengths(world: SyntheticWorld, size: int, rng: np.random.Generator) -> Ints:
    spread = 0.5
    drawn = world.mean_length * np.exp(rng.normal(-(spread**2) / 2, spread, size))
    lengths = np.clip(np.rint(drawn), 5, max(5, world.n_items // 2)).astype(np.int64)
    few = rng.random(size) < FEW
    lengths[few] = rng.integers(1, 5, few.sum())
    return np.sort(lengths)[::-1].copy()


def _gaps(pause: Floats, rng: np.random.Generator) -> tuple[Ints, NDArray[np.bool_]]:
    """Seconds to the next interaction, and whether it is of the same session."""
    size = len(pause)
    short = rng.random(size) < STAYS
    within = rng.integers(*SHORT, size) * (rng.random(size) >= SAME_SECOND)
    between = DAY + (rng.random(size) * 2 * np.maximum(pause - DAY, 0)).astype(np.int64)
    return np.where(short, within, between), short


def _everything(size: int) -> tuple[Ints, Ints]:
    return np.zeros(size, np.int64), np.full(size, N_CLUSTERS - 1)


def _pools(
    world: SyntheticWorld,
    catalogue: Catalogue,
    last: Ints,
    times: Ints,
    short: NDArray[np.bool_],
    groups: Ints,
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    """First and last cluster to draw from, for the users whose last items are given."""
    size = len(last)
    cluster = catalogue.cluster_of(last)
    pools = (
        (catalogue.follower[cluster], 1),
        (np.where(short[:size], AFTER_SHORT, AFTER_LONG), POOL),
        (season_of(times[:size]) * POOL, POOL),
        (groups[:size] * POOL, POOL),
    )
    low, high = _everything(size)
    chance = rng.random(size)
    reached = 0.0
    for (first, width), strength in zip(pools, world.strengths, strict=True):
        told = (chance >= reached) & (chance < reached + strength)
        low[told], high[told] = first[told], first[told] + width - 1
        reached += strength
    return low, high


def _unseen(
    catalogue: Catalogue, low: Ints, high: Ints, seen: NDArray[np.bool_], rng: np.random.Generator
) -> Ints:
    """An item of the pool that the user has not had, else of all items; 0 if none was found."""
    size = len(low)
    chosen = np.zeros(size, np.int64)
    everything = _everything(size)
    for attempt in range(2 * TRIES):
        open_ = np.flatnonzero(chosen == 0)
        if not len(open_):
            break
        first, last = (low, high) if attempt < TRIES else everything
        drawn = catalogue.draw(first[open_], last[open_], rng.random(len(open_)))
        fresh = ~seen[open_, drawn]
        chosen[open_[fresh]] = drawn[fresh]
    return chosen

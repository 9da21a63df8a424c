"""An archive in the layout of ml-32m, of any size, from a seed: to measure with, not to learn from.

    python benchmarks/large_archive.py --ratings 32000204 --output ml-32m.zip

Users, movies and lengths of histories have the long tails of MovieLens 32M; nothing of it is in
here. Like there, lines are ordered by user, then movie, and nobody rates a movie twice.
"""

import argparse
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
from numpy.typing import NDArray

RATINGS, USERS, ITEMS = 32_000_204, 200_948, 84_432  # MovieLens 32M's own
SHORTEST, LONGEST = 20, 0.3  # ratings of a user: at least, and at most of the catalogue
FIRST, LAST = 820_454_400, 1_697_155_200  # 1996-01-01 and 2023-10-13, seconds since 1970
DAY = 86_400
STARS = np.arange(0.5, 5.5, 0.5, dtype=np.float32)
STAR_SHARES = np.array([0.02, 0.03, 0.02, 0.07, 0.05, 0.19, 0.13, 0.26, 0.09, 0.14])
BLOCK = 2_000_000  # ratings written at a time
SPARE = 1.3  # draws for each rating that is missing, since some are repeats
POPULAR_ROUNDS = 2  # draws by popularity; who then still lacks some has seen what is popular


@dataclass(frozen=True)
class Size:
    """How large a world is."""

    ratings: int
    users: int
    items: int

    @classmethod
    def of(cls, ratings: int) -> "Size":
        """As many users as fit the ratings; movies grow with the root, as catalogues do."""
        share = ratings / RATINGS
        return cls(ratings, max(1, round(USERS * share)), max(1000, round(ITEMS * share**0.5)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ratings", type=int, default=RATINGS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args()
    write_archive(asked.output, Size.of(asked.ratings), asked.seed)


def write_archive(path: Path, size: Size, seed: int) -> None:
    """Write `ml-32m/ratings.csv` and `ml-32m/movies.csv` into a zip archive."""
    rng = np.random.default_rng(seed)
    lengths = draw_lengths(rng, size)
    numbers = np.sort(rng.choice(3 * size.items, size.items, replace=False)) + 1
    popular = np.cumsum(rng.permutation((np.arange(size.items) + 30.0) ** -1.25))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("ml-32m/ratings.csv", "w", force_zip64=True) as file:
            file.write(b"userId,movieId,rating,timestamp\n")
            first = 0
            for last in blocks(lengths):
                users = np.arange(first, last)
                write_block(file, rng, users, lengths[first:last], numbers, popular / popular[-1])
                first = last
        archive.writestr("ml-32m/movies.csv", movies(numbers))


def draw_lengths(rng: np.random.Generator, size: Size) -> NDArray[np.int64]:
    """(U,) ratings of each user, `size.ratings` together: half below 75, some thousands."""
    weights = rng.lognormal(0.0, 1.4, size.users)
    spare = size.ratings - SHORTEST * size.users
    lengths = SHORTEST + np.floor(weights * (spare / weights.sum())).astype(np.int64)
    lengths = np.minimum(lengths, int(LONGEST * size.items))
    while missing := size.ratings - int(lengths.sum()):
        chosen = rng.choice(size.users, min(missing, size.users), replace=False)
        lengths[chosen] += 1
    return lengths


def blocks(lengths: NDArray[np.int64]) -> list[int]:
    """Where to cut the users, so that a block has about `BLOCK` ratings."""
    ends = np.cumsum(lengths)
    cuts = np.searchsorted(ends, np.arange(BLOCK, ends[-1], BLOCK))
    return [*np.unique(cuts[cuts > 0]).tolist(), len(lengths)]


def write_block(
    file: IO[bytes],
    rng: np.random.Generator,
    users: NDArray[np.int64],
    lengths: NDArray[np.int64],
    numbers: NDArray[np.int64],
    popular: NDArray[np.float64],
) -> None:
    place, item = draw_items(rng, lengths, popular)
    frame = pl.DataFrame(
        {
            "user": users[place] + 1,
            "item": numbers[item],
            "rating": rng.choice(STARS, len(place), p=STAR_SHARES),
            "timestamp": draw_times(rng, place, lengths),
        }
    )
    frame.write_csv(file, include_header=False, float_precision=1)


def draw_items(
    rng: np.random.Generator, lengths: NDArray[np.int64], popular: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(L,) place of the user and item of each rating, no pair twice, ordered by both."""
    n_items = len(popular)
    pairs = np.empty(0, np.int64)
    missing, turn = lengths, 0
    while missing.any():
        tries = np.ceil(missing * SPARE).astype(np.int64)
        place = np.repeat(np.arange(len(lengths)), tries)
        chance = rng.random(len(place))
        item = np.searchsorted(popular, chance) if turn < POPULAR_ROUNDS else chance * n_items
        drawn = np.sort(place * n_items + item.astype(np.int64))
        drawn = drawn[np.diff(drawn, prepend=-1) > 0]  # many times as fast as numpy's `unique`
        new = np.setdiff1d(drawn, pairs, assume_unique=True)
        pairs = without_surplus(rng, pairs, new, missing, n_items)
        missing = lengths - np.bincount(pairs // n_items, minlength=len(lengths))
        turn += 1
    return pairs // n_items, pairs % n_items


def without_surplus(
    rng: np.random.Generator,
    pairs: NDArray[np.int64],
    new: NDArray[np.int64],
    missing: NDArray[np.int64],
    n_items: int,
) -> NDArray[np.int64]:
    """`pairs` and as many of `new`, ascending, as are missing of each user, whichever."""
    mixed = rng.permutation(new)
    mixed = mixed[np.argsort(mixed // n_items, kind="stable")]
    owner = mixed // n_items
    rank = np.arange(len(mixed)) - np.searchsorted(owner, owner)
    return np.sort(np.concatenate([pairs, mixed[rank < missing[owner]]]))


def draw_times(
    rng: np.random.Generator, place: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(L,) seconds since 1970: a long first visit, three shorter ones, pages sent at one moment."""
    start = rng.integers(FIRST, LAST - DAY, len(lengths))
    visits = np.cumsum(rng.lognormal(3.0, 2.0, (len(lengths), 4)) * DAY, axis=1).astype(np.int64)
    visits[:, 0] = 0
    visit = np.maximum(rng.integers(-4, 4, len(place)), 0)
    second = (rng.random(len(place)) * lengths[place]).astype(np.int64) * 8
    return np.minimum(start[place] + visits[place, visit] + second, LAST)


def movies(numbers: NDArray[np.int64]) -> str:
    rows = (f'{number},"Film {number}, The ({1920 + number % 104})",Drama' for number in numbers)
    return "\n".join(["movieId,title,genres", *rows]) + "\n"


if __name__ == "__main__":
    main()

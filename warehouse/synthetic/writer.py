"""A world as an archive in one of MovieLens's layouts; the same world gives the same bytes."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from warehouse.lines import Advance
from warehouse.placing import put_in_place
from warehouse.synthetic.world import SyntheticWorld, histories

ArchiveLayout = Literal["double-colon", "csv"]
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the archive must not tell when it was made
GENRES = [
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
ADJECTIVES = [
    "Quiet",
    "Crimson",
    "Lost",
    "Hidden",
    "Last",
    "Étoile",
    "Golden",
    "Broken",
    "Distant",
    "Second",
]
NOUNS = [
    "River",
    "Garden",
    "Night",
    "Harbour",
    "Letter",
    "Café",
    "Summer",
    "Road",
    "Mirror",
    "Island",
    "Signal",
    "Winter",
]


def write_archive(
    world: SyntheticWorld,
    path: Path,
    *,
    name: str = "synthetic",
    layout: ArchiveLayout = "double-colon",
    progress: Advance | None = None,
) -> None:
    """Write the world as `path`, whole or not at all.

    Args:
        world: what to write.
        path: zip archive to make.
        name: folder within it: the data set that it should pass for.
        layout: `double-colon` as ML-1M, or `csv` as ML-20M and later.
        progress: is told the users done and in all.
    """
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w") as archive:
        suffix = "csv" if layout == "csv" else "dat"
        _add(archive, f"{name}/ratings.{suffix}", _ratings(world, layout, progress))
        _add(archive, f"{name}/movies.{suffix}", iter([_movies(world, layout)]))
        if layout == "double-colon":
            _add(archive, f"{name}/users.dat", iter([_users(world)]))
    put_in_place(partial, path)


def _add(archive: zipfile.ZipFile, name: str, blocks: Iterator[bytes]) -> None:
    """Stored, not packed: packing differs between versions of zlib, and with it the checksum."""
    member = zipfile.ZipInfo(name, LONG_AGO)
    member.external_attr = 0o640 << 16
    with archive.open(member, "w", force_zip64=True) as file:
        for block in blocks:
            file.write(block)


def _ratings(
    world: SyntheticWorld, layout: ArchiveLayout, progress: Advance | None
) -> Iterator[bytes]:
    if layout == "csv":
        yield b"userId,movieId,rating,timestamp\n"
    quality = np.random.default_rng([world.seed, 2]).normal(3.5, 0.6, world.n_items + 1)
    for number, block in enumerate(histories(world)):
        rng = np.random.default_rng([world.seed, 3, number])
        stars = quality[block.items] + rng.normal(0, 0.9, len(block.items))
        frame = pl.DataFrame(
            {
                "user": block.users,
                "item": block.items,
                "rating": np.clip(np.rint(stars * 2) / 2, 0.5, 5.0),
                "timestamp": block.times,
            }
        )
        # like the later MovieLens files: by user and movie, not by time
        yield _lines(frame.sort("user", "item"), layout)
        if progress:
            progress(int(block.users.max()), world.n_users)


def _lines(frame: pl.DataFrame, layout: ArchiveLayout) -> bytes:
    if layout == "csv":
        return frame.write_csv(include_header=False, float_precision=1).encode()
    whole = pl.col("rating").clip(1.0).round().cast(pl.Int64)
    line = pl.concat_str("user", "item", whole, "timestamp", separator="::")
    return ("\n".join(frame.select(line).to_series().to_list()) + "\n").encode()


def _movies(world: SyntheticWorld, layout: ArchiveLayout) -> bytes:
    """Titles are made up; a movie's genres tell nothing of its cluster."""
    rows = []
    for item in range(1, world.n_items + 1):
        title = f"The {ADJECTIVES[item % 10]} {NOUNS[item % 12]} {item} ({1930 + item % 90})"
        genres = f"{GENRES[item % 18]}|{GENRES[(item * 7 + 3) % 18]}"
        rows.append(
            f'{item},"{title}",{genres}' if layout == "csv" else f"{item}::{title}::{genres}"
        )
    if layout == "csv":
        return ("\n".join(["movieId,title,genres", *rows]) + "\n").encode("utf-8")
    return ("\n".join(rows) + "\n").encode("latin-1")


def _users(world: SyntheticWorld) -> bytes:
    rows = [
        f"{user}::{'FM'[user % 2]}::{(1, 18, 25, 35, 45, 50, 56)[user % 7]}::{user % 21}::00000"
        for user in range(1, world.n_users + 1)
    ]
    return ("\n".join(rows) + "\n").encode()

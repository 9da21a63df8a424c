"""What is known of a data set before its archive is opened."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

Row = Sequence[str | int | None]


@dataclass(frozen=True)
class Counts:
    """Known counts of the publisher's own archive; `items` are the rated ones."""

    ratings: int
    users: int
    items: int


@dataclass(frozen=True)
class Scale:
    """The stars that can be given: from .5 to 5, in halves or whole."""

    low: float
    high: float
    step: float

    def spellings(self) -> list[str]:
        """Every way an archive writes a rating on this scale.

        >>> Scale(4.0, 5.0, 0.5).spellings()
        ['4', '4.0', '4.5', '5', '5.0']
        """
        steps = round((self.high - self.low) / self.step)
        stars = [self.low + self.step * number for number in range(steps + 1)]
        return [text for value in stars for text in _written(value)]


@dataclass(frozen=True)
class Layout:
    """How an archive is laid out.

    Attributes:
        ratings: name of the ratings file within the archive's folder.
        separator: between its four fields user, item, rating, timestamp.
        header: its first line, None when it has none.
        items: name of the movies file.
        items_header: its first line, None when it has none.
        users: name of the users file, None when there is none.
        encoding: of movies and users.
        read_items: rows (raw_item_id, title, genres) of the movies file's lines; a line that is
            not one raises ValueError with the reason.
        read_users: rows (raw_user_id, gender, age, occupation) likewise.
        items_end_whole: whether a line that `read_items` takes can't be the beginning of another,
            so that the last one needs no line feed.
    """

    ratings: str
    separator: str
    header: str | None
    items: str
    items_header: str | None
    users: str | None
    encoding: str
    read_items: Callable[[str], Row]
    read_users: Callable[[str], Row] | None
    items_end_whole: bool = False


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A data set: where it comes from and what it must look like.

    Attributes:
        name: as given to `--dataset`; also the folder within the archive.
        title: as people call it.
        url: where the publisher offers the archive; None for the synthetic world.
        size: the archive's bytes, None when not known.
        md5: as the publisher states it; None when the archive changes over time.
        sha256: of the same archive, None when nobody has stated it.
        counts: None when the archive changes over time.
        scale: stars.
        layout: of the archive.
    """

    name: str
    title: str
    url: str | None
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None
    counts: Counts | None = None
    scale: Scale = Scale(0.5, 5.0, 0.5)
    layout: Layout

    def archive(self, sources: Path) -> Path:
        """Where the fetched (or generated) archive is kept."""
        return sources / f"{self.name}.zip"

    @property
    def is_synthetic(self) -> bool:
        """Whether it is our own world, made from a seed."""
        return self.url is None


def _written(value: float) -> list[str]:
    return [f"{value:.0f}", f"{value:.1f}"] if value.is_integer() else [f"{value:.1f}"]

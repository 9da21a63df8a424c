"""The small values that cross a step's boundary: ids, counts and paths, never data."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path


@dataclass(frozen=True)
class Snapshot:
    """A prepared data set, as in `core.snapshots`."""

    snapshot_id: str
    load_id: str
    retention: str
    n_users: int
    n_items: int
    n_interactions: int
    n_duplicates: int
    sequences: Path
    sequences_sha256: str
    as_of: date | None = None
    repeats: str = "first"

    @property
    def label(self) -> str:
        """What tells it from other snapshots of the same data set."""
        return self.retention + (f" as of {self.as_of}" if self.as_of else "")


@dataclass(frozen=True)
class Published:
    """What a publication did.

    Attributes:
        changed: whether the readers' copy was replaced.
        size: bytes of the readers' copy.
    """

    changed: bool
    size: int


@dataclass(frozen=True)
class Choice:
    """What is asked, as far as a command names it.

    Attributes:
        dataset: its name, or with its archive as tables write it: `ml-1m (unverified: small.zip)`.
        retention: 5-core or cold-start.
        model: `SAS-FPT`, or `sas_fpt`.
        run_id: of a training, or how it begins.
    """

    dataset: str = ""
    retention: str = ""
    model: str = ""
    run_id: str = ""


ANY = Choice()

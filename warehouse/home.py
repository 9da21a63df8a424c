"""Where a pipeline keeps its files."""

import os
from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import RefusedError

_UNUSABLE = "?\\"  # DuckDB takes them for the end of a path and for a folder's separator


@dataclass(frozen=True)
class Home:
    """The folder given by `--home`, and the place of everything in it."""

    root: Path

    @classmethod
    def at(cls, root: str | Path | None = None) -> "Home":
        """Open the home at `root`, else `FPT_HOME`, else `.fpt`; folders are made when missing.

        Folders are 0750 and files 0640: ratings are personal data.

        Raises:
            RefusedError: DuckDB could not open files there.
        """
        home = cls(Path(root or os.environ.get("FPT_HOME", ".fpt")).expanduser().resolve())
        if set(_UNUSABLE) & set(str(home.root)):
            raise RefusedError(
                "This home can't be used",
                got=str(home.root),
                expected="a path without ? and \\",
                to_do="Give another --home",
            )
        os.umask(0o027)
        for folder in (
            home.root,
            home.sources,
            home.staging,
            home.sequences,
            home.runs,
            home.locks,
        ):
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        return home

    @property
    def warehouse(self) -> Path:
        """The writers' database."""
        return self.root / "warehouse.duckdb"

    @property
    def published(self) -> Path:
        """The readers' copy."""
        return self.root / "published.duckdb"

    @property
    def sources(self) -> Path:
        """Archives that were fetched or generated."""
        return self.root / "sources"

    @property
    def staging(self) -> Path:
        """Databases of loads and snapshots that have not passed their audit yet."""
        return self.root / "staging"

    @property
    def sequences(self) -> Path:
        """What is handed to training."""
        return self.root / "sequences"

    @property
    def runs(self) -> Path:
        """One folder a training."""
        return self.root / "runs"

    @property
    def locks(self) -> Path:
        """One file a thing that one process at a time may work on."""
        return self.root / "locks"

    @property
    def untold(self) -> Path:
        """Ends of flow runs that Prefect's server was not there to hear; made when needed."""
        return self.root / "untold"

    def staged(self, identity: str) -> Path:
        """Staging database of a load or snapshot."""
        return self.staging / f"{identity}.duckdb"

    def sequences_file(self, snapshot_id: str) -> Path:
        """Sequences file of a snapshot."""
        return self.sequences / f"sequences-{snapshot_id}.parquet"

    def run(self, run_id: str) -> Path:
        """Folder of a training."""
        return self.runs / run_id

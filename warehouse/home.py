"""Where a pipeline keeps its files."""

import os
from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import RefusedError
from warehouse.lake.address import NOTE, Address, address_of, noted

# of the tables that are kept as files; a test holds them together with the tables
COLUMNS = frozenset((
    "age", "created_at", "gender", "genres", "item_id", "item_ids", "item_key", "line",
    "load_id", "member", "n_candidates", "n_interactions", "n_train", "occupation",
    "position", "protocol", "rank", "rating", "raw_item_id", "raw_user_id", "reason",
    "run_id", "scaled_interval", "score", "snapshot_id", "source_row", "split",
    "time_scale", "timestamp", "title", "user_id", "user_key", "waited_seconds", "week",
))  # fmt: skip
_UNUSABLE = "?\\"  # DuckDB takes them for the end of a path and for a folder's separator


@dataclass(frozen=True)
class Home:
    """The folder given by `--home`, and the place of everything in it.

    Attributes:
        root: the folder.
        lake: where it publishes, if not into a catalogue of its own; see `warehouse/lake/`.
    """

    root: Path
    lake: Address | None = None

    @classmethod
    def at(cls, root: str | Path | None = None) -> "Home":
        """Open the home at `root`, else `FPT_HOME`, else `.fpt`; folders are made when missing.

        Folders are 0750 and files 0640: ratings are personal data.

        Raises:
            RefusedError: DuckDB could not open files there; its lake has no folder.
        """
        home = cls.existing(root)
        os.umask(0o027)
        if home.lake is not None and not home.owns_files:
            _refuse_no_data(home.lake)
        for folder in (
            home.root,
            home.sources,
            home.catalogue,
            *([home.store] if home.owns_files else []),  # a lake's folder has rights of its own
            home.staging,
            home.sequences,
            home.runs,
            home.locks,
        ):
            try:
                folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            except OSError as error:
                raise _unusable(folder, error.strerror) from error
        if home.lake is not None:
            _bind(home.root, home.lake)
        return home

    @classmethod
    def existing(cls, root: str | Path | None = None) -> "Home":
        """The home at `root` as `at` finds it, for those who only read: nothing is made.

        Raises:
            RefusedError: no path can be so, or DuckDB could not open files there or would misread.
        """
        given = Path(root or os.environ.get("FPT_HOME", ".fpt"))
        try:
            home = cls(given.expanduser().resolve())
            home.root.exists()  # too long a name is an error here already
            home = cls(home.root, address_of(home.root))
        except (OSError, RuntimeError, ValueError) as error:
            raise _unusable(given, str(error)) from error
        if set(_UNUSABLE) & set(str(home.root)):
            raise _unusable(home.root, expected="a path without ? and \\")
        for place in dict.fromkeys((home.root, home.files)):
            if folder := _named_like_a_column(place):
                raise _unusable(place, expected=f"a path without {folder}, which names a column")
        return home

    @property
    def catalogue(self) -> Path:
        """The last catalogues, by number and content; see `warehouse/catalogue.py`."""
        return self.root / "catalogue"

    @property
    def files(self) -> Path:
        """What the catalogue's paths of files are relative to: the home, or its lake's folder.

        Of a lake in an object store the home has copies.
        """
        return self.root if self.lake is None or self.lake.is_remote else self.lake.files

    @property
    def owns_files(self) -> bool:
        """Whether nobody else writes where its files are."""
        return self.files == self.root

    @property
    def store(self) -> Path:
        """The files of the bulky tables; see `warehouse/store.py`."""
        return self.files / "store"

    @property
    def old_warehouse(self) -> Path:
        """The one database of earlier versions; see `warehouse/upgrade.py`."""
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
        """What has not passed its audit yet, a folder for each that is at work."""
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
    def kernels(self) -> Path:
        """Compiled kernels, see `fpt_model/files/kernels.py`; made when needed."""
        return self.root / "kernels"

    @property
    def locks(self) -> Path:
        """One file a thing that one process at a time may work on."""
        return self.root / "locks"

    @property
    def untold(self) -> Path:
        """Ends of flow runs that Prefect's server was not there to hear; made when needed."""
        return self.root / "untold"

    def log(self, name: str) -> Path:
        """A file of logs, whose folder is there."""
        path = self.root / "logs" / f"{name}.log"
        path.parent.mkdir(mode=0o750, exist_ok=True)
        return path

    def sequences_file(self, snapshot_id: str) -> Path:
        """Sequences file of a snapshot."""
        return self.sequences / f"sequences-{snapshot_id}.parquet"

    def run(self, run_id: str) -> Path:
        """Folder of a training."""
        return self.runs / run_id


def _refuse_no_data(lake: Address) -> None:
    """A share that is not mounted would be filled beside it."""
    if not lake.files.is_dir():
        raise RefusedError(
            "The folder of the lake's data is not there",
            got=f"no {lake.files}",
            to_do="Mount it, or make it",
        )


def _bind(root: Path, lake: Address) -> None:
    """From now on the home belongs to the lake, whatever the environment says."""
    if noted(root) is None:
        (root / NOTE).write_text(f"{lake.url}\n", encoding="utf-8")


def _named_like_a_column(root: Path) -> str | None:
    """A folder such as `user_id=7`: DuckDB would read user 7 in every row of the files below it."""
    folders = (folder for folder in root.parts if "=" in folder)
    named = (one for one in folders if one.partition("=")[0].lower() in COLUMNS)
    return next(named, None)


def _unusable(path: Path, reason: str | None = None, expected: str | None = None) -> RefusedError:
    got = f"{path}: {reason}" if reason else str(path)
    return RefusedError(
        "This home can't be used", got=got, expected=expected, to_do="Give another --home"
    )

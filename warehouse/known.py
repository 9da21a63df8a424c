"""Data sets by their names: those that everybody knows, and those that somebody describes."""

from pathlib import Path

from warehouse import datasets
from warehouse.archive import open_source
from warehouse.datasets.dataset import Dataset
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.own_data.description import Description, find_description, read_description


def find(home: Home, name: str, source: Path | None) -> Dataset | Description:
    """The data set of that name, to be landed.

    Args:
        home: where descriptions may lie.
        name: as given to `--dataset`.
        source: the file or folder of own data, beside which its description may lie.

    Raises:
        RefusedError: nobody knows or describes it, or own data has the name of a known one.
    """
    if name in datasets.NAMES:
        _refuse_hidden(home, name, source)
        return datasets.find(name)
    path = find_description(name, source, home)
    if path is None:
        raise _unknown(home, name, source)
    return read_description(path)


def refuse_unknown(home: Home, name: str, source: Path | None) -> None:
    """Refuse a name of which nothing could be landed, nor was before; a source that is not there.

    Raises:
        RefusedError: so.
    """
    if name in datasets.NAMES or source is not None:
        find(home, name, source)
        if source is not None:
            _refuse_missing(name, source)
    else:
        newest_load(home, name)


def _refuse_missing(name: str, source: Path) -> None:
    if not is_own(name):
        with open_source(source):
            return
    try:
        source.stat()
    except (OSError, ValueError) as error:  # the latter when a NUL is in it
        got = getattr(error, "strerror", None) or str(error)
        raise RefusedError(f"{source} can't be read", got=got, to_do="Check --source") from error


def newest_load(home: Home, name: str) -> str:
    """The newest load of own data, which stands for its source when none is given.

    Raises:
        RefusedError: it was never landed.
    """
    from warehouse.described import newest_description  # DuckDB and Polars: of own data alone

    landed = newest_description(home, name)
    if landed is not None:
        return landed[0]
    if find_description(name, None, home) is None:
        raise _unknown(home, name, None)
    raise RefusedError(
        f"{name} was never landed in this home",
        got="no --source",
        to_do="Give its file or folder as --source",
    )


def is_own(name: str) -> bool:
    """Whether a name can only be that of own data."""
    return name not in datasets.NAMES


def _refuse_hidden(home: Home, name: str, source: Path | None) -> None:
    """A description that nobody would read, because its name is taken."""
    folders = [home.root / "datasets", *([source.absolute().parent] if source else [])]
    for path in (folder / f"{name}.toml" for folder in folders):
        if path.is_file():
            raise RefusedError(
                f"{name} is the name of a data set that is known already",
                got=str(path),
                to_do="Give your data another name: that of the file is the data set's",
            )


def _unknown(home: Home, name: str, source: Path | None) -> RefusedError:
    places = [home.root / "datasets", *([source.absolute().parent] if source else [])]
    file = f"{name}.toml"
    return RefusedError(
        "Unknown data set",
        got=f"{name!r}, and no {file} in {' or '.join(map(str, places))}",
        expected=f"{' or '.join(datasets.NAMES)}, or own data that {file} describes",
        to_do="`fpt describe FILE` proposes a description of a file of your own",
    )

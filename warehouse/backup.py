"""One file with all that is published, and a home from it."""

import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from warehouse.catalogue import make_newest
from warehouse.database import connected
from warehouse.errors import RefusedError
from warehouse.following import newest, publication, turn
from warehouse.garbage import collect
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.kept_catalogues import catalogues, give_to_readers, is_whole, number_of
from warehouse.lake import upstream
from warehouse.placing import put_in_place
from warehouse.published import refuse_unpublished
from warehouse.staging import staging_folder
from warehouse.store import listed, put_stored
from warehouse.stored_files import damaged

MANIFEST = "manifest.json"  # the checksum of every other member; the last one
# of a training's folder: checkpoints of the way are left out
WEIGHTS = "best.safetensors"
KEPT_OF_RUNS = ("run.json", "epochs.jsonl", WEIGHTS, "ranks.parquet", "lists.parquet")


def backup(home: Home, output: Path) -> dict[str, int]:
    """Write a catalogue, its files, the sequences and the trained weights into one tar file.

    Runs may go on meanwhile: what is published at the start is what is kept. Of a lake that is all
    that its homes published, and of weights and sequences what this home has.

    Returns:
        How many files, and bytes.

    Raises:
        RefusedError: nothing is published; a file is damaged; the output can't be written.
    """
    refuse_unpublished(home)
    catalogue = catalogues(home)[0]
    members = {str(catalogue.relative_to(home.root)): catalogue, **_files(home, catalogue)}
    partial = output.with_name(f"{output.name}.partial")
    sums: dict[str, str] = {}
    try:
        with tarfile.open(partial, "w") as archive:
            for name, path in members.items():
                sums[name] = sha256_of(path)
                archive.add(path, name, recursive=False)
            _add_text(archive, MANIFEST, json.dumps(sums, indent=1))
        put_in_place(partial, output)
    except FileNotFoundError as error:
        if error.filename in (str(path) for path in members.values()):
            raise _changed(f"no {error.filename} any more") from error
        raise _unwritten(output, error) from error
    except OSError as error:
        raise _unwritten(output, error) from error
    finally:
        partial.unlink(missing_ok=True)
    return {"files": len(sums), "bytes": output.stat().st_size}


def _changed(got: str) -> RefusedError:
    return RefusedError(
        "What is published changed while it was kept", got=got, to_do="Run the command again"
    )


def _unwritten(output: Path, error: OSError) -> RefusedError:
    return RefusedError(
        f"{output} could not be written",
        got=error.strerror or str(error),
        to_do="Give another place",
    )


def _files(home: Home, catalogue: Path) -> dict[str, Path]:
    """What this catalogue rests on, whatever is published meanwhile, by names in the backup.

    Raises:
        RefusedError: a file is not as it was written: a backup would keep the damage.
    """
    with connected(catalogue, read_only=True) as connection:
        files = listed(connection)
        rows = connection.execute("SELECT sequences_path FROM core.snapshots").fetchall()
        runs = connection.execute("SELECT run_id FROM mart.training_runs").fetchall()
    for file, fault in damaged(home, files, whole=True):
        if newest(home) != catalogue:  # another home of a lake may have pruned or forgotten
            raise _changed(f"{file.path} is {fault}")
        raise RefusedError(f"{file.path} is {fault}", to_do="`fpt doctor --mend`, then `fpt run`")
    names = [name for (sequences,) in rows for name in (sequences, f"{sequences}.sha256")]
    names += [f"{home.runs.name}/{run_id}/{name}" for (run_id,) in runs for name in KEPT_OF_RUNS]
    beside = {name: home.root / name for name in names}
    stored = {file.path: home.files / file.path for file in files}
    return stored | {name: path for name, path in beside.items() if path.exists()}


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    about = tarfile.TarInfo(name)
    about.size = len(data)
    about.mode = 0o640
    archive.addfile(about, BytesIO(data))


def restore(home: Home, backup_file: Path) -> dict[str, int]:
    """Bring a backup into a home that has nothing whole; the catalogue comes last.

    A home's backup may go into a lake, where nothing is published yet, and a lake's into a home.

    Returns:
        How many files, and the number of the publication that counts again.

    Raises:
        RefusedError: it is no whole backup; something is published in the home.
    """
    collect(home)  # one before this may have been killed
    with turn(home) as sure, staging_folder(home, "restore") as folder:
        with _opened(backup_file) as archive:
            _refuse_used(home, _its_catalogue(backup_file, archive.getnames()))
            archive.extractall(folder, filter="data")
        names = _checked(backup_file, folder)
        catalogue = folder / _its_catalogue(backup_file, names)
        _refuse_others(home, catalogue)
        others = [name for name in names if folder / name != catalogue]
        if _is_in_lake(home):  # by one before this, which died then
            _put_all(home, folder, [name for name in others if not _is_stored(home, name)])
        else:
            for old in catalogues(home):
                old.unlink()
            _put_all(home, folder, others)
            # what a catalogue lists is there before the catalogue is
            make_newest(home, catalogue, sure)
        give_to_readers(home)
    return {"files": len(names), "publication": publication(home)}


def _is_in_lake(home: Home) -> bool:
    """Whether the lake has something: this backup, as `_refuse_others` has seen.

    Raises:
        RefusedError: the home's catalogues are damaged, so that it has seen nothing.
    """
    if not upstream.is_made(home):
        return False
    if not any(is_whole(path) for path in catalogues(home)):
        raise _used(home)
    return True


def _is_stored(home: Home, name: str) -> bool:
    return Path(name).parts[0] == home.store.name


def _put_all(home: Home, folder: Path, names: Sequence[str]) -> None:
    """Bring files to their places: those of tables may belong into a lake's folder."""
    for name in names:
        if _is_stored(home, name):
            put_stored(home, folder / name, home.files / name)
            continue
        target = home.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        put_in_place(folder / name, target)
        if target.name == WEIGHTS:
            _write_checksum(target)


def _write_checksum(path: Path) -> None:
    """What stands beside weights, by which whoever asks them knows that they are whole."""
    partial = path.with_name(f"{path.name}.sha256.partial")
    partial.write_text(f"{sha256_of(path)}  {path.name}\n", encoding="utf-8")
    put_in_place(partial, Path(f"{path}.sha256"))


def _its_catalogue(backup_file: Path, names: Sequence[str]) -> str:
    for name in names:
        if Path(name).match("catalogue/*.duckdb"):
            return name
    raise RefusedError(f"{backup_file} is no whole backup", got="no catalogue in it")


def _refuse_used(home: Home, name: str) -> None:
    """One of the backup's number is looked at when the backup is: see `_refuse_others`."""
    published = [path for path in catalogues(home) if is_whole(path)]
    others = [path for path in published if number_of(path) != number_of(Path(name))]
    if others or home.old_warehouse.exists():
        raise _used(home)


def _used(home: Home) -> RefusedError:
    return RefusedError(
        "Something is published in this home",
        got=str(home.root),
        expected="an empty home, or one whose catalogues are all damaged; an empty lake",
        to_do="Give another --home",
    )


def _refuse_others(home: Home, catalogue: Path) -> None:
    """The backup's own is there when a restoring ended before its last step.

    It may name other paths: it is made for its home. Its files are known by their content.
    """
    for path in (path for path in catalogues(home) if is_whole(path)):
        with connected(path, read_only=True) as ours, connected(catalogue, read_only=True) as its:
            if listed(ours) != listed(its):
                raise _used(home)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(path) as archive:
            yield archive
    except (OSError, tarfile.TarError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise RefusedError(f"{path} is no whole backup", got=got) from error


def _checked(backup_file: Path, folder: Path) -> Sequence[str]:
    """The members, each as the manifest says.

    Raises:
        RefusedError: one is missing, too many or changed.
    """
    manifest = folder / MANIFEST
    try:
        sums: dict[str, str] = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RefusedError(f"{backup_file} is no whole backup", got="no manifest") from error
    manifest.unlink()
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    wrong = sorted(there ^ set(sums)) or [
        name for name, sum in sums.items() if sha256_of(folder / name) != sum
    ]
    if wrong:
        raise RefusedError(f"{backup_file} is damaged", got=f"{wrong[0]} is not as it was kept")
    return list(sums)

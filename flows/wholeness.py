"""Is what published trainings need there and whole? For `fpt doctor`, which can mend some of it."""

from collections.abc import Iterator
from pathlib import Path

from fpt_model.files.finished import problem
from fpt_model.version import code_version
from tasks.findings import Finding, finding
from tasks.folders import lost_ranks, lost_weights, mend_record
from warehouse import garbage, locks
from warehouse.commands import prepare_command, train_command
from warehouse.database import is_held
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.identity import sha256_of
from warehouse.kept import Needed, needed

SERVED = "up"  # the lock of `fpt up`, whose monitoring sees to dead runs
MEND = "fpt doctor --mend"


def trainings(home: Home, *, mend: bool) -> Iterator[Finding]:
    """Sequences, weights, records and ranks of all that is published, each by its whole content."""
    try:
        known = needed(home)
    except RefusedError:
        return  # the warehouse does not open, which is said elsewhere
    if home.lake is not None:
        everybodys, known = known, [one for one in known if home.run(one.run_id).exists()]
        others = len(everybodys) - len(known)
        yield finding("lake", "good", f"trainings of other homes: {others}")
    lost = [*_sequences(home, known)]
    for one in known:
        lost += _training(home, one, mend=mend)
    yield from lost
    if not lost:
        yield finding("trainings", "good", f"{len(known)} published, all that they need is whole")


def _sequences(home: Home, known: list[Needed]) -> Iterator[Finding]:
    for one in {one.snapshot_id: one for one in known}.values():
        path = home.root / one.sequences_path
        wrong = _wrong(path, one.sequences_sha256)
        if wrong:
            to_do = prepare_command(home, one.load_id, one.retention, one.as_of)
            yield finding("sequences", "bad", f"{path} is {wrong}", to_do)


def _wrong(path: Path, checksum: str) -> str:
    if not path.is_file():
        return "missing"
    return "" if sha256_of(path) == checksum else "damaged"


def _training(home: Home, one: Needed, *, mend: bool) -> Iterator[Finding]:
    folder, check = home.run(one.run_id), f"training {one.run_id}"
    again = train_command(home, one.snapshot_id, one.model, one.preset, one.seed)
    named = f"{one.model} seed {one.seed}"
    if one.code_version != code_version():
        again, named = f"{again} trains it anew", f"{named}, of another version of the models"
    if wrong := lost_weights(folder, one.checkpoint_sha256):
        state = "bad" if one.code_version == code_version() else "note"
        yield finding(check, state, f"{named}: {wrong}", again)
    elif wrong := problem(folder):
        yield _record(home, one, f"{named}: {wrong}", check, mend=mend)
    elif wrong := lost_ranks(folder):
        yield finding(check, "note", f"{named}: {wrong}", again)


def _record(home: Home, one: Needed, seen: str, check: str, *, mend: bool) -> Finding:
    sequences = home.root / one.sequences_path
    whole = not _wrong(sequences, one.sequences_sha256)
    if mend and whole and mend_record(home, one.run_id, sequences, one.sequences_sha256):
        return finding(check, "good", f"{seen}; written again from the warehouse")
    return finding(check, "bad", seen, MEND)


def leftovers(home: Home, *, mend: bool) -> Iterator[Finding]:
    """What dead runs left; removed if asked for, and by the next run anyway."""
    if mend:
        gone = garbage.collect(home) + _forget_signs(home)
        if gone:
            yield finding("garbage", "good", f"removed {', '.join(gone)}")
    left = [one.what for one in garbage.find(home)]
    if left:
        yield finding("garbage", "note", ", ".join(left), MEND)


def _forget_signs(home: Home) -> list[str]:
    """Signs of life of dead runs, which are never started again where no `fpt up` is up."""
    if is_held(home, SERVED):
        return []
    dead = [path for path in garbage.signs_of_life(home) if not is_held(home, path.stem)]
    for path in dead:
        locks.remove(path)
    return [f"locks/{path.name}" for path in dead]

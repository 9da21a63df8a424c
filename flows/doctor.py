"""Is this machine ready, and are the pipeline's files whole?"""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from flows.wholeness import leftovers, trainings
from tasks.findings import Finding, finding
from warehouse.catalogue import opened
from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.following import newest, publication, turn
from warehouse.home import Home
from warehouse.keeping import keep_whole
from warehouse.kept_catalogues import copy_fault, is_whole
from warehouse.list_figures import LISTS, lost_lists
from warehouse.store import listed
from warehouse.stored import CORE, OWN, RAW
from warehouse.stored_files import damaged

MIN_FREE_BYTES = 2 << 30


def examine(root: Path, *, mend: bool = False) -> list[Finding]:
    """Every check, each `good`, `note` or `bad`, with what was seen and what to do.

    Args:
        root: the home.
        mend: do what can be done at once, and say so.
    """
    home = Home.at(root)
    checks: tuple[Callable[[Home], Iterator[Finding]], ...] = (
        _python,
        _packages,
        disk,
        partial(mended, mend=mend),
        databases,
        partial(trainings, mend=mend),
        partial(leftovers, mend=mend),
        _prefect,
        _device,
    )
    return [seen for check in checks for seen in check(home)]


def _python(home: Home) -> Iterator[Finding]:
    yield finding("python", "good", f"{platform.python_version()}, {os.cpu_count()} cores")


def _packages(home: Home) -> Iterator[Finding]:
    """What pyproject.toml asks for, against what is installed."""
    for line in requires("sas-fpt-pipeline") or ():
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            found = "missing"
        if found == "missing" or not wanted.specifier.contains(found, prereleases=True):
            to_do = "make install"
            yield finding(wanted.name, "bad", f"{found}, wanted {wanted.specifier}", to_do)
    yield finding("packages", "good", "checked against pyproject.toml")


def disk(home: Home) -> Iterator[Finding]:
    """Is there room for another run?"""
    free = shutil.disk_usage(home.root).free
    state = "good" if free > MIN_FREE_BYTES else "bad"
    yield finding("disk", state, f"{free / 2**30:.1f} GiB free in {home.root}")


def mended(home: Home, *, mend: bool) -> Iterator[Finding]:
    """What was damaged and is no more: only if asked for, as the next run does it anyway."""
    try:
        for said in keep_whole(home, whole=True) if mend else ():
            yield finding("mended", "good", said)
    except RefusedError as error:
        yield finding("warehouse", "bad", error.what, error.to_do)


def databases(home: Home) -> Iterator[Finding]:
    """The catalogue and every file that it lists are as they were written, and so is the copy."""
    try:
        path = newest(home)
    except RefusedError as error:
        yield finding("lake", "bad", f"{error.what}: {error.got}", error.to_do)
        return
    if home.lake is not None:
        yield finding("lake", "good", f"publication {publication(home)} of {home.lake.url}")
    if path is None:
        yield finding("warehouse", "note", "nothing is published yet", "fpt run")
        return
    try:
        yield from _warehouse(home, path)
    except RefusedError as error:
        yield finding("warehouse", "bad", f"{error.what}: {error.got}", error.to_do)
    fault = _copy_fault(home)
    if fault:
        to_do = "the next run brings it up to date, `fpt doctor --mend` at once"
        yield finding("published", "note", fault, to_do)
    else:
        yield finding("published", "good", f"{home.published.stat().st_size / 2**20:.1f} MiB")


def _copy_fault(home: Home) -> str:
    """Looked at once more under the lock: a publication may have been under way."""
    if not copy_fault(home):
        return ""
    with turn(home):
        return copy_fault(home)


def _warehouse(home: Home, path: Path) -> Iterator[Finding]:
    if not is_whole(path):
        to_do = "`fpt doctor --mend` goes back to the one before"
        yield finding("warehouse", "bad", f"{path.name} has other bytes than were written", to_do)
        return
    with opened(home) as connection:
        row = connection.execute("SELECT count(*) FROM mart.training_runs").fetchone()
        files = listed(connection)
        tables = [list(RAW), list(CORE), list(OWN)]
        lacking = connection.execute(statements("doctor/lacking"), tables).fetchall()
        lacking += [(run_id, LISTS) for run_id in sorted(lost_lists(connection))]
        imports = _lost_imports(connection)
    broken = [f"{one.path} is {fault}" for one, fault in damaged(home, files, whole=True)]
    if broken:
        seen = f"{len(broken)} of {len(files)} files: {broken[0]}"
        yield finding("warehouse", "bad", seen, "`fpt run` makes again what they held")
    else:
        size = sum(one.size for one in files) / 2**20
        seen = f"{row[0] if row else 0} trainings, {len(files)} files of {size:.1f} MiB, all whole"
        yield finding("warehouse", "good", seen)
    if lacking:
        (identity, table), *more = lacking
        seen = f"{table} of {identity} is lost" + (f", and {len(more)} more" if more else "")
        yield finding("warehouse", "note", seen, "the next run that needs it makes it again")

    for name, file in imports:
        again = f"`fpt import-scores {file} --name {name}` imports it again"
        yield finding("warehouse", "note", f"the ranks of the imported {name} are lost", again)


def _lost_imports(connection: Any) -> list[tuple[str, str]]:
    """Imported models without their ranks; a catalogue of an earlier version has none."""
    query = "FROM duckdb_tables() WHERE schema_name = 'mart' AND table_name = 'imports'"
    if not connection.execute(query).fetchall():
        return []
    rows: list[tuple[str, str]] = connection.execute(
        statements("doctor/lacking_imports")
    ).fetchall()
    return rows


def _prefect(home: Home) -> Iterator[Finding]:
    from prefect.settings import get_current_settings

    from flows import server

    url = get_current_settings().api.url
    if wrong := server.damaged() or server.damage_of(home.root / "prefect" / "prefect.db"):
        yield finding("prefect", "bad", f"{wrong.what}: {wrong.got}", wrong.to_do)
    elif url is None:
        yield finding("prefect", "good", "no server set: each command starts one of its own")
    else:
        try:
            server.refuse_unreachable(url, server.password_for(home, url))
            yield finding("prefect", "good", f"{url} answers")
        except RefusedError as error:
            yield finding("prefect", "bad", f"{error.what}: {error.got}", error.to_do)


def _device(home: Home) -> Iterator[Finding]:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    yield finding("device", "good" if gpu else "note", gpu or "no GPU: training runs on the CPU")

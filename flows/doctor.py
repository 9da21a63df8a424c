"""Is this machine ready, and are the pipeline's files whole?"""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from flows.wholeness import leftovers, trainings
from tasks.findings import Finding, finding
from warehouse.database import reading
from warehouse.errors import RefusedError
from warehouse.home import Home

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


def databases(home: Home) -> Iterator[Finding]:
    """The writers' database opens; the readers' copy is there and not behind."""
    try:
        with reading(home) as connection:
            row = connection.execute("SELECT count(*) FROM mart.training_runs").fetchone()
        yield finding("warehouse", "good", f"{row[0] if row else 0} trainings")
    except RefusedError as error:
        yield finding("warehouse", "bad", error.got or error.what, error.to_do)
    if not home.published.exists():
        yield finding("published", "note", "nothing is published yet", "fpt run")
    elif home.published.stat().st_mtime_ns != home.warehouse.stat().st_mtime_ns:
        to_do = "the next run brings it up to date"
        yield finding("published", "note", "behind the warehouse", to_do)
    else:
        yield finding("published", "good", f"{home.published.stat().st_size / 2**20:.1f} MiB")


def _prefect(home: Home) -> Iterator[Finding]:
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    yield finding("prefect", "good", url or "no server set: each command starts one of its own")


def _device(home: Home) -> Iterator[Finding]:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    yield finding("device", "good" if gpu else "note", gpu or "no GPU: training runs on the CPU")

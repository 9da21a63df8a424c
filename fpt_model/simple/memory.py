"""Whether matrices of all pairs of items fit the memory of this machine."""

import os
from pathlib import Path

from fpt_model.errors import ModelError

GIB = 1 << 30
CGROUP = Path("/sys/fs/cgroup")


def refuse_large(model: str, n_items: int, matrices: int) -> None:
    """Refuse what would not fit.

    Args:
        model: what it is called in tables.
        n_items: I.
        matrices: how many of I x I double precision numbers it holds at a time.

    Raises:
        ModelError: they take more memory than is free.
    """
    needed, free = 8 * matrices * (n_items + 1) ** 2, free_bytes()
    if needed > free:
        raise ModelError(
            f"{model} does not fit the memory",
            got=f"{free / GIB:.1f} GiB free",
            expected=f"{needed / GIB:.1f} GiB for {matrices} matrices of {n_items} x {n_items}",
            to_do="Take item-kNN or the Markov chain, which are sparse, or a larger machine",
        )


def free_bytes() -> int:
    """Memory that can be had without swapping, within the limit of this process's group if any."""
    return min(_of_machine(), _of_group())


def _of_machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        (line,) = (line for line in lines if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):  # no Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_group() -> int:
    try:
        limit, used = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        return int(limit) - int(used)
    except (OSError, ValueError):  # no such group, or "max": no limit
        return 1 << 62

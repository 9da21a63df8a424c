"""`fpt prune` as it is typed: it shows what would go, asks, and tells what went."""

import os
import pty
import select
import sys
import time
from pathlib import Path

import pytest

FPT = Path(sys.executable).parent / "fpt"


@pytest.mark.slow
def test_it_looks_first_and_removes_on_a_yes(copy, fpt):
    refused = fpt("prune", home=copy)
    assert refused.code != 0
    assert "Give `--keep 3`, `--older-than 90d` or both" in refused.err
    assert "is no age such as 90d" in " ".join(
        fpt("prune", "--older-than", "90", home=copy).err.split()
    )
    assert fpt("prune", "--keep", 1, home=copy).err == "Nothing to prune.\n"
    shown = fpt("prune", "--keep", 0, "--dry-run", "--json", home=copy).rows
    assert sorted(row["what"] for row in shown) == ["load", "snapshot", "training", "training"]
    assert all(row["bytes"] > 1000 for row in shown)
    assert (
        fpt("prune", "--keep", 0, "--older-than", "1d", "--dry-run", "--json", home=copy).rows == []
    )
    nobody = fpt("prune", "--keep", 0, home=copy)
    assert nobody.code != 0
    assert "Give --yes" in nobody.err
    assert list((copy / "runs").iterdir())
    done = fpt("prune", "--keep", 0, "--yes", home=copy)
    assert done.code == 0, done.err
    total = sum(row["bytes"] for row in shown)
    assert f"Gone: 2 trainings, 1 snapshot, 1 load, {total:,} bytes" in " ".join(done.err.split())
    assert not list((copy / "runs").iterdir())
    assert fpt("sql", "SELECT count(*) AS n FROM runs", "--json", home=copy).rows == [{"n": 0}]


def test_at_a_terminal_it_asks(copy):
    for answer, left in ((b"n\n", True), (b"y\n", False)):
        pid, screen = pty.fork()
        if pid == 0:
            os.environ.update(TERM="dumb", COLUMNS="120")
            os.execv(FPT, ["fpt", "prune", "--keep", "0", "--home", str(copy)])
        seen, end = b"", time.monotonic() + 60
        while b"[y/N]" not in seen and time.monotonic() < end:
            if select.select([screen], [], [], 0.2)[0]:
                seen += os.read(screen, 65536)
        assert b"Remove 2 trainings, 1 snapshot, 1 load" in seen
        os.write(screen, answer)
        assert os.waitpid(pid, 0)[1] == 0
        assert bool(list((copy / "runs").iterdir())) == left

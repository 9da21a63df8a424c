"""What dead runs left goes; what a living one uses stays."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warehouse.backup import restore
from warehouse.database import locked
from warehouse.errors import RefusedError
from warehouse.forgetting import forget
from warehouse.garbage import collect
from warehouse.home import Home
from warehouse.staging import staging_folder
from warehouse.upgrade import upgrade

STAGES = """
import sys, time
from warehouse.home import Home
from warehouse.staging import staging_folder
with staging_folder(Home.at(sys.argv[1]), "abc") as folder:
    (folder / "half.duckdb").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def stager(home):
    """Another process that stages something; its folder."""
    with subprocess.Popen(
        [sys.executable, "-c", STAGES, home.root], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def names(home: Home) -> list[str]:
    return sorted(path.name for path in home.locks.iterdir() if "warehouse" not in path.name)


def test_a_staging_folder_is_its_owners_alone_and_gone_at_the_end(home):
    with staging_folder(home, "abc") as one, staging_folder(home, "abc") as other:
        assert one != other
        assert one.parent == home.staging
        assert one.stat().st_mode & 0o777 == 0o750
        (one / "file").write_text("x")
        assert collect(home) == []
        assert one.exists()
        assert other.exists()
    with pytest.raises(KeyboardInterrupt), staging_folder(home, "abc") as one:
        raise KeyboardInterrupt
    assert list(home.staging.iterdir()) == names(home) == []


def test_a_living_processs_folder_stays_and_a_dead_ones_goes(home, stager):
    process, folder = stager
    assert collect(home) == []
    assert (folder / "half.duckdb").exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert collect(home) == [f"staging/{folder.name}"]
    assert list(home.staging.iterdir()) == names(home) == []


def test_what_is_half_made_stays_while_any_other_flow_lives(home):
    """It has no lock of its own, so it may be anybody's."""
    run = home.run("1a2b")
    (run / "search").mkdir(parents=True)
    half = [
        home.staging / "jobs-0123.json",
        home.staging / "4d5e.duckdb",
        home.root / "report.partial",
        home.sequences / "sequences-1.partial",
        run / "best.safetensors.partial",
        run / "search" / "run.json.partial",
        home.sources / "synthetic.partial",
    ]
    for path in half:
        path.write_bytes(b"half")
    (home.staging / "tmpabc").mkdir()
    kept = [home.sources / "ml-20m.partial", home.sources / "ml-20m.version", run / "started"]
    for path in kept:
        path.write_bytes(b"a download goes on from here")
    with locked(home, "flow-mine"):
        with locked(home, "flow-another"):
            assert collect(home, "flow-mine") == []
        gone = collect(home, "flow-mine")
    assert len(gone) == len(half) + 1
    (home.sources / "ml-10m.version").touch()  # of a download that was done
    assert collect(home) == ["sources/ml-10m.version"]
    assert not any(path.exists() for path in [*half, home.staging / "tmpabc"])
    assert all(path.exists() for path in kept)


def test_what_a_flow_makes_while_garbage_is_looked_for_is_no_garbage(home, monkeypatch):
    """It began after the look at the files, and before that at the flows, or the other way."""
    from warehouse import garbage

    original = garbage.others_live

    def late(*words):
        (home.staging / "new.duckdb").write_bytes(b"made just now")
        return original(*words)

    monkeypatch.setattr(garbage, "others_live", late)
    assert collect(home) == []
    assert (home.staging / "new.duckdb").exists()


def test_locks_without_folders_go_when_they_are_surely_nobodys(home):
    fresh, old = (home.locks / f"staging-{name}-0.lock" for name in ("fresh", "old"))
    for path in (fresh, old, home.locks / "train-1-sasrec-quick.lock"):
        path.touch()
        age(path, 3600)
    age(fresh, 0)
    assert collect(home) == ["locks/staging-old-0.lock"]
    assert fresh.exists()  # its owner may be about to hold it


def test_drafts_of_the_catalogue_stay_while_its_lock_is_held(home):
    draft = home.catalogue / "draft-7.partial"
    draft.write_bytes(b"half")
    readers = home.catalogue / "0000000001-ab.spill"
    readers.mkdir()
    with locked(home, "warehouse"):
        assert collect(home) == []
    assert collect(home) == ["catalogue/draft-7.partial"]
    assert readers.exists()  # who reads holds no lock
    age(readers, 2 * 24 * 3600)
    assert collect(home) == ["catalogue/0000000001-ab.spill"]


def test_an_empty_home_is_looked_through_in_no_time(home):
    for number in range(300):
        home.run(str(number)).mkdir()
    began = time.thread_time()  # others may keep the machine busy
    assert collect(home) == []
    assert time.thread_time() - began < 1


@pytest.mark.parametrize(
    "command",
    [
        upgrade,
        lambda home: restore(home, home.root / "none.tar"),
        lambda home: forget(home, "ml-1m", 1),
    ],
    ids=["upgrade", "restore", "forget"],
)
def test_commands_that_are_no_flows_clear_up_too(home, stager, command):
    process, folder = stager
    with pytest.raises(RefusedError):
        command(home)
    assert folder.exists()  # its owner lives
    process.kill()
    process.wait()
    (home.catalogue / "draft-7.partial").touch()
    with pytest.raises(RefusedError):
        command(home)
    assert not folder.exists()
    assert not list(home.catalogue.iterdir())
    assert not [name for name in names(home) if name.startswith("staging-")]

"""Catalogues are never changed, and nothing that readers do to their copy reaches anybody."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest

from warehouse import catalogue
from warehouse.catalogue import found, opened, reading, replace_readers_copy, writing
from warehouse.errors import RefusedError
from warehouse.following import newest, publication
from warehouse.forgetting import forget
from warehouse.home import Home
from warehouse.kept_catalogues import (
    KEPT,
    NOWHERE,
    catalogues,
    copy_fault,
    give_to_readers,
    is_whole,
    number_of,
)
from warehouse.questions import ask

ITEMS = pl.DataFrame({"raw_item_id": [1, 2], "title": ["A", "B"], "genres": ["", ""]})
FILES = "SELECT count(*) FROM mart.files"
ADD = "INSERT INTO mart.files SELECT 't', i::VARCHAR, 'p', 'x', 1, 1 FROM range({}) AS r(i)"


@pytest.fixture
def filled(home, store_frames) -> Home:
    """A home with one file."""
    store_frames({("raw.items", "load"): ITEMS})
    return home


@pytest.fixture
def publish(home) -> Callable[[], None]:
    """One publication more, which adds a row."""

    def go() -> None:
        with writing(home) as connection:
            connection.execute(ADD.format(1))

    return go


def guard(home: Home) -> Path:
    return Path(f"{home.published}.wal")


def assert_given(home: Home) -> None:
    """The readers have the newest, guarded."""
    assert copy_fault(home) == ""
    assert home.published.read_bytes() == newest(home).read_bytes()
    assert guard(home).is_symlink()
    assert not guard(home).exists()


def test_numbers_go_up_three_are_kept_and_none_is_changed(home, publish):
    seen: dict[Path, bytes] = {}
    for number in range(1, 7):
        publish()
        assert publication(home) == number == number_of(newest(home))
        with reading(home) as connection:
            said = connection.execute("SELECT publication FROM mart.catalogue").fetchall()
            assert said == [(number,)]
            assert connection.execute(FILES).fetchone() == (number,)
        there = catalogues(home)
        assert [number_of(path) for path in there] == list(range(number, 0, -1))[:KEPT]
        assert all(is_whole(path) for path in there)
        assert all(path.read_bytes() == seen.get(path, path.read_bytes()) for path in there)
        seen |= {path: path.read_bytes() for path in there}
        assert_given(home)
    assert sorted(home.catalogue.iterdir()) == sorted(catalogues(home))


def test_a_block_that_fails_publishes_nothing_and_leaves_no_draft(home, publish):
    publish()
    before = {path: path.read_bytes() for path in (*home.catalogue.iterdir(), home.published)}

    def half_done() -> None:
        with writing(home) as connection:
            connection.execute(ADD.format(100_000))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    assert {path: path.read_bytes() for path in (*home.catalogue.iterdir(), home.published)} == (
        before
    )
    publish()
    assert publication(home) == 2
    with reading(home) as connection:
        assert connection.execute(FILES).fetchone() == (2,)


def test_what_a_dead_writer_of_the_same_number_left_is_not_taken(home, publish):
    """Process ids come again, in containers soon."""
    publish()
    code = """
import os, sys
from warehouse.catalogue import writing
from warehouse.home import Home
with writing(Home.at(sys.argv[1])) as connection:
    connection.execute("INSERT INTO mart.files SELECT 't', 'dead', 'p', 'x', 1, 1")
    connection.commit()
    print(os.getpid(), flush=True)
    os.kill(os.getpid(), 9)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(home.root)], stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == -signal.SIGKILL
    left = list(home.catalogue.glob("draft-*"))
    assert {path.suffix for path in left} == {".partial", ".wal"}
    for path in left:
        path.rename(str(path).replace(done.stdout.strip(), str(os.getpid())))
    publish()
    assert ask(home, "SELECT count(*) FROM mart.files WHERE id = 'dead'").item() == 0
    assert ask(home, FILES).item() == 2
    assert sorted(home.catalogue.iterdir()) == sorted(catalogues(home))


def test_a_catalogue_that_goes_while_it_is_opened_is_not_missed(home, publish, monkeypatch):
    for _ in range(5):
        publish()
    stale = [home.catalogue / f"0000000001-{'0' * 32}.duckdb"]
    found = catalogue.newest
    monkeypatch.setattr(catalogue, "newest", lambda home: stale.pop() if stale else found(home))
    with opened(home) as connection:
        assert connection.execute(FILES).fetchone() == (5,)
    assert not stale


LOADS = "SELECT DISTINCT load_id FROM raw.ratings ORDER BY ALL"


def test_files_that_go_while_somebody_looks_are_not_missed(home, publish_rows):
    publish_rows("with", [(user, item, item) for user in (1, 2) for item in (1, 2)])
    publish_rows("without", [(2, item, item) for item in (1, 2)])
    looks = []

    def look(connection: duckdb.DuckDBPyConnection) -> list[tuple]:
        looks.append(connection)
        if len(looks) == 1:
            forget(home, "ml-1m", 1)
        return connection.execute(LOADS).fetchall()

    assert found(home, look) == [("without",)]
    assert len(looks) == 2


def test_a_file_that_is_lost_is_missed_at_once(home, publish_rows):
    publish_rows("lost", [(1, 1, 1)])
    for path in home.store.glob("raw.ratings/*/*"):
        path.unlink()
    looks = []

    def look(connection: duckdb.DuckDBPyConnection) -> list[tuple]:
        looks.append(connection)
        return connection.execute(LOADS).fetchall()

    with pytest.raises(duckdb.IOException, match="lost"):
        found(home, look)
    assert len(looks) == 1


def test_a_reader_of_a_catalogue_keeps_it_while_others_are_published(home, publish):
    publish()
    with reading(home) as connection:
        for _ in range(KEPT + 1):
            publish()
        assert connection.execute(FILES).fetchone() == (1,)
    assert ask(home, FILES).item() == KEPT + 2


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-4096],
        lambda data: b"x" * len(data),
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),  # DuckDB opens it
    ],
)
def test_a_damaged_catalogue_is_told_by_its_name_and_not_written_on(home, publish, change):
    publish()
    path, copy = newest(home), home.published.read_bytes()
    path.chmod(0o640)
    path.write_bytes(change(path.read_bytes()))
    assert not is_whole(path)
    with pytest.raises(RefusedError, match=rf"{path.name} is damaged.*`fpt doctor --mend`"):
        publish()
    assert (catalogues(home), home.published.read_bytes()) == ([path], copy)


def test_nobody_can_write_the_readers_copy(filled, publish):
    before = filled.published.read_bytes()
    for statement in (ADD.format(1), "CREATE TABLE mine AS SELECT 1", "DROP VIEW mart.metrics"):
        with duckdb.connect(str(filled.published)) as reader, pytest.raises(duckdb.Error):
            reader.execute(statement)
        assert filled.published.read_bytes() == before
        assert_given(filled)
    publish()
    assert_given(filled)


def test_many_rows_that_are_refused_change_no_answer(filled):
    """DuckDB writes them into the copy before it knows that it can't; the next copy is whole."""
    with duckdb.connect(str(filled.published)) as reader, pytest.raises(duckdb.Error):
        reader.execute(ADD.format(300_000))
    assert "changed by somebody" in copy_fault(filled)
    with duckdb.connect(str(filled.published), read_only=True) as reader:
        assert reader.execute(FILES).fetchone() == (1,)
    assert give_to_readers(filled).changed
    assert_given(filled)


WRITES = """
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM raw.items").fetchone()[0], flush=True)
try:
    connection.execute("BEGIN")
    connection.execute("INSERT INTO mart.files SELECT 't', 'mine', 'p', 'x', 1, 1")
    connection.execute("COMMIT")
except duckdb.Error:
    print("refused", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def holder(filled):
    """Another process that has the copy open for writing, and has tried to write."""
    command = [sys.executable, "-c", WRITES, str(filled.published)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "2\n"
        assert process.stdout.readline() == "refused\n"
        yield process
        process.kill()


def test_who_holds_the_copy_open_for_writing_is_in_nobodys_way(filled, holder, publish, tmp_path):
    assert ask(filled, FILES).item() == 1
    publish()
    assert ask(filled, FILES).item() == 2
    assert_given(filled)
    asked = [Path(sys.executable).parent / "fpt", "sql", FILES, "--format", "csv"]
    done = subprocess.run(
        [*asked, "--home", str(filled.root)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.split()[-1] == "2", done.stderr
    holder.communicate("go on\n")
    assert_given(filled)
    with duckdb.connect(str(filled.published), read_only=True) as reader:
        assert reader.execute(FILES).fetchone() == (2,)


def test_a_reader_killed_while_it_writes_leaves_nothing(filled, holder, publish):
    before = filled.published.read_bytes()
    holder.kill()
    holder.wait()
    assert filled.published.read_bytes() == before
    assert_given(filled)
    publish()
    assert_given(filled)
    assert ask(filled, "SELECT count(*) FROM mart.files WHERE id = 'mine'").item() == 0


@pytest.mark.parametrize("left", [b"", b"of somebody else" * 100, None])
def test_changes_that_a_reader_left_beside_the_copy_never_meet_the_next(filled, publish, left):
    """A real log, of a copy that had no guard, too."""
    guard(filled).unlink()
    if left is None:
        code = WRITES.replace("sys.stdin.readline()", "import os; os.kill(os.getpid(), 9)")
        subprocess.run([sys.executable, "-c", code, str(filled.published)], stdout=subprocess.PIPE)
        assert guard(filled).stat().st_size > 0
    else:
        guard(filled).write_bytes(left)
    assert "beside it" in copy_fault(filled)
    publish()
    assert_given(filled)
    with duckdb.connect(str(filled.published), read_only=True) as reader:
        assert reader.execute("SELECT count(*) FROM mart.files WHERE id = 'mine'").fetchone() == (
            0,
        )
        assert reader.execute(FILES).fetchone() == (2,)


def checkpointed(path: Path) -> None:
    """What DuckDB itself can be made to write without its log."""
    with duckdb.connect(str(path)) as reader:
        for statement in ("BEGIN", ADD.format(300_000), "COMMIT", "FORCE CHECKPOINT"):
            try:
                reader.execute(statement)
            except duckdb.Error:
                break
    with path.open("r+b") as file:  # in case it wrote nothing
        file.seek(-1, os.SEEK_END)
        file.write(b"\x01" if path.read_bytes()[-1:] == b"\x00" else b"\x00")


def written(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def go(path: Path) -> None:
        path.chmod(0o640)
        path.write_bytes(change(path.read_bytes()))

    return go


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (checkpointed, "changed by somebody"),
        (written(lambda data: data + b"x"), "changed by somebody"),
        (written(lambda data: data[:-4096]), "changed by somebody"),
        (written(lambda data: data[:-1] + bytes([data[-1] ^ 1])), "changed by somebody"),
        (written(lambda data: b""), "changed by somebody"),
        (Path.unlink, "missing"),
    ],
)
def test_a_spoilt_copy_is_seen_and_made_whole(filled, spoil, fault):
    spoil(filled.published)
    assert fault in copy_fault(filled)
    assert ask(filled, FILES).item() == 1  # no program of ours rests on it
    before = newest(filled)
    assert give_to_readers(filled).changed
    assert_given(filled)
    assert newest(filled) == before
    assert not give_to_readers(filled).changed


def test_before_the_first_publication_there_is_nothing_to_give(home):
    assert copy_fault(home) == ""
    with pytest.raises(RefusedError, match=r"Nothing is published yet.*Run `fpt run` first"):
        give_to_readers(home)


READER = """
import duckdb, sys
question = "SELECT count(*) FROM mart.files"
connection = None
for line in sys.stdin:
    if line == "open\\n":
        connection and connection.close()  # else DuckDB gives what this process has open
        connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "True")
    print(connection.execute(question).fetchone()[0], flush=True)
"""


@pytest.mark.parametrize("read_only", [True, False])
def test_readers_and_publications_in_any_order(home, publish, read_only):
    """Who opened before a publication sees the state before, who opens after it the new one."""
    publish()
    command = [sys.executable, "-c", READER, str(home.published), str(read_only)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def ask_it(word: str) -> int:
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        seen = []
        for word in ("open", "publish", "look", "publish", "open", "look", "publish", "open"):
            if word == "publish":
                publish()
                assert_given(home)
            else:
                seen.append(ask_it(word))
        process.stdin.close()
    assert seen == [1, 1, 3, 3, 4]


def test_a_home_that_was_moved_is_read_from_anywhere(filled, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    moved = Home(filled.root.rename(tmp_path / "deep" / "it's [here]"))
    monkeypatch.chdir("/")
    rows = "SELECT title FROM raw.items ORDER BY ALL"
    with reading(moved) as connection:
        assert connection.execute(rows).fetchall() == [("A",), ("B",)]
        assert connection.execute("SELECT root FROM mart.catalogue").fetchone() == (
            str(moved.root),
        )
    with duckdb.connect(str(moved.published), read_only=True) as reader:
        assert reader.execute(rows).fetchall() == [("A",), ("B",)]
    assert_given(moved)
    before = newest(moved)
    replace_readers_copy(moved)
    assert newest(moved) == before  # once is enough


def test_a_guard_is_a_link_to_nowhere(filled):
    assert str(guard(filled).readlink()) == NOWHERE
    guard(filled).unlink()
    guard(filled).symlink_to("elsewhere")
    assert copy_fault(filled) != ""
    give_to_readers(filled)
    assert_given(filled)


@pytest.mark.parametrize(
    ("number", "raised"), [(errno.EPERM, False), (errno.EOPNOTSUPP, False), (errno.ENOSPC, True)]
)
def test_a_file_system_without_links_is_no_full_disk(filled, monkeypatch, number, raised):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    guard(filled).unlink()
    monkeypatch.setattr(Path, "symlink_to", fail)
    if raised:
        with pytest.raises(OSError, match="No space left"):
            give_to_readers(filled)
    else:
        give_to_readers(filled)
        assert not guard(filled).exists()
    monkeypatch.undo()
    give_to_readers(filled)
    assert_given(filled)

"""Whoever dies while a person is forgotten leaves word of it: what is left goes all the same."""

import time
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from warehouse import faults, forgetting, locks
from warehouse.database import locked
from warehouse.errors import RefusedError
from warehouse.forgetting import forget, forgotten_users, go_on
from warehouse.kept_catalogues import copy_fault
from warehouse.publishing import has_load

ROWS = [(user, item, 100 * user + item) for user in (1, 2) for item in (10, 11, 12)]


@pytest.fixture
def dying(home, publish_rows, monkeypatch):
    """Begin to forget user 1, and fail at a place."""
    publish_rows("with", ROWS)
    publish_rows("without", [row for row in ROWS if row[0] == 2])

    def at(place: str) -> None:
        faults._times.clear()
        monkeypatch.setenv(faults.ASKED, f"{place}:raise")
        with pytest.raises(faults.FaultError):
            forget(home, "ml-1m", 1)
        monkeypatch.delenv(faults.ASKED)

    return at


def left(home) -> set[str]:
    return {path.name.partition("=")[2] for path in home.store.glob("*/*")}


PLACES = ["a person is out of the catalogue", "before a file with a forgotten person goes"]


@pytest.mark.parametrize("place", PLACES)
def test_the_next_run_deletes_the_rest(home, dying, place):
    dying(place)
    assert left(home) == {"with", "without"}
    assert forgotten_users(home, "ml-1m") == {1}
    assert go_on(home) == ["forgot user 1 of ml-1m to the end"]
    assert left(home) == {"without"}
    assert go_on(home) == []
    assert not list(home.root.glob("forgetting*"))
    assert forget(home, "ml-1m", 1).loads == []  # done is no fault
    with pytest.raises(RefusedError, match="User 3 is in no load of ml-1m"):
        forget(home, "ml-1m", 3)


def test_the_same_command_goes_on(home, dying):
    dying(PLACES[0])
    assert forget(home, "ml-1m", 1).loads == ["with"]
    assert left(home) == {"without"}
    assert not list(home.root.glob("forgetting*"))


@pytest.mark.parametrize(
    "place", ["after the rename to forgetting-*.json", "before the commit to a draft"]
)
def test_nothing_goes_before_it_is_published(home, dying, place):
    dying(place)
    assert go_on(home) == []
    assert (left(home), has_load(home, "with")) == ({"with", "without"}, True)
    assert forget(home, "ml-1m", 1).loads == ["with"]
    assert left(home) == {"without"}


def test_readers_have_a_copy_without_the_person_though_the_first_try_died_before_it(home, dying):
    dying("a catalogue is copied for readers")
    assert copy_fault(home) != ""
    assert forget(home, "ml-1m", 1).loads == ["with"]
    assert copy_fault(home) == ""
    with duckdb.connect(str(home.published), read_only=True) as reader:
        assert reader.execute("SELECT DISTINCT load_id FROM raw.ratings").fetchall() == [
            ("without",)
        ]


def test_a_run_at_work_may_hold_the_persons_rows(home, publish_rows, monkeypatch):
    monkeypatch.setattr(forgetting, "SHORT_SECONDS", 0.0)
    publish_rows("with", ROWS)
    with (
        locked(home, "alone-1"),
        pytest.raises(RefusedError, match="A run is at work"),
    ):
        forget(home, "ml-1m", 1)
    assert has_load(home, "with")
    assert forget(home, "ml-1m", 1).loads == ["with"]


def test_a_short_run_is_waited_for(home, publish_rows):
    publish_rows("with", ROWS)
    with ThreadPoolExecutor(1) as pool:
        with locked(home, "alone-1"):
            asked = pool.submit(forget, home, "ml-1m", 1)
            time.sleep(0.5)
            assert not asked.done()
        locks.remove(home.locks / "alone-1.lock")
    assert asked.result().loads == ["with"]
    assert not has_load(home, "with")


def test_nothing_begins_while_a_person_is_forgotten(home):
    with ThreadPoolExecutor(1) as pool:
        with locked(home, forgetting.LOCK):
            begun = pool.submit(forgetting.wait_for_forgetting, home)
            time.sleep(0.3)
            assert not begun.done()
        begun.result()

"""Whoever dies while a person is forgotten leaves word of it: what is left goes all the same."""

import pytest

from warehouse import faults
from warehouse.errors import RefusedError
from warehouse.forgetting import forget, forgotten_users, go_on
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
    with pytest.raises(RefusedError, match="User 1 is in no load of ml-1m"):
        forget(home, "ml-1m", 1)


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

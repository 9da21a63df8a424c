"""Tests begin with long ones in every worker, and end with short ones."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Item:
    """What the order looks at of a test."""

    path: Path
    number: int
    marks: tuple[str, ...] = ()
    fixturenames: tuple[str, ...] = ()

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.marks else None


def found_in(file: str, count: int, *marks: str, fixtures: tuple[str, ...] = ()) -> list[Item]:
    return [Item(Path(file), number, marks, fixtures) for number in range(count)]


@pytest.fixture
def order(request):
    """The file that is in use."""
    (ours,) = [
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(Path(__file__).with_name("conftest.py"))
    ]
    return ours.order


@pytest.fixture
def items() -> list[Item]:
    """As pytest finds them: by name."""
    return [
        *found_in("test_a.py", 7),
        *found_in("test_b.py", 2, fixtures=("tmp_path", "forks")),
        *found_in("test_c.py", 1, "slow"),
        *found_in("test_c.py", 3),
        *found_in("test_d.py", 4, fixtures=("prefect",)),
        *found_in("test_e.py", 2, "slow", fixtures=("forks",)),
        *found_in("fpt_model/test_f.py", 5),
        *found_in("test_signals.py", 2, "slow"),
        *found_in("test_z.py", 3),
    ]


def files(dealt: list[Item]) -> str:
    """The letters of their files; a digit for the worlds of signals."""
    return "".join(item.path.stem.removeprefix("test_").replace("signals", "0") for item in dealt)


def test_alone_the_longest_come_first_and_files_in_their_order(order, items):
    assert files(order.dealt(items, 1)) == "00eecbbddddfffffaaaaaaaccczzz"


def test_two_workers_have_shares_from_long_to_short(order, items):
    """The one with fewer tests takes the next file, or the last; pytest-xdist cuts 14 of 29 off."""
    dealt = order.dealt(items, 2)
    assert files(dealt[:14]) == "00cbbfffffaaaa"
    assert files(dealt[14:]) == "aaaeeddddzzzccc"


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_none_is_lost_and_each_worker_finds_the_same(order, items, workers):
    dealt = order.dealt(items, workers)
    assert Counter(dealt) == Counter(items)
    assert dealt == order.dealt(list(items), workers)


def test_one_worker_makes_the_home_of_all_while_another_needs_none(order):
    items = [
        *found_in("test_a.py", 1, fixtures=("forks",)),
        *found_in("test_b.py", 2, fixtures=("forks", "finished")),
        *found_in("test_c.py", 1, fixtures=("forks",)),
        *found_in("test_d.py", 2, fixtures=("finished", "prefect")),
    ]
    assert files(order.dealt(items, 1)) == "bbddac"
    assert files(order.dealt(items, 2)) == "bbddca"  # "ca" is another worker's


def test_what_is_alike_in_a_file_is_not_torn_apart(order, items):
    dealt = order.dealt(items, 2)
    for path in {item.path for item in items}:
        for rank in {order.shortness(item) for item in items if item.path == path}:
            places = [
                place
                for place, item in enumerate(dealt)
                if item.path == path and order.shortness(item) == rank
            ]
            assert places == list(range(places[0], places[0] + len(places)))

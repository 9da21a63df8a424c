"""Fetching an archive: whole, in pieces, over a publisher's faults, and once only."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.fetch import Patience, fetch
from warehouse.synthetic.world import SyntheticWorld

SHORT = Patience(attempts=3, stall=10.0, total=60.0, pause=0.01)


def test_a_whole_download_is_kept_and_others_may_not_read_it(publisher, dataset, home):
    path = fetch(dataset, home, patience=SHORT)
    assert path == home.sources / "ml-1m.zip"
    assert path.read_bytes() == publisher.body
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(home.sources.iterdir()) == [path]
    assert publisher.asked == [("/ml-1m.zip", None)]


def test_what_is_there_is_not_fetched_again_unless_damaged(publisher, dataset, home):
    path = fetch(dataset, home, patience=SHORT)
    (home.sources / "ml-1m.version").write_text("left by one who died when all was done")
    assert fetch(dataset, home, patience=SHORT) == path
    assert len(publisher.asked) == 1
    assert list(home.sources.iterdir()) == [path]
    path.write_bytes(publisher.body[:-1])
    assert fetch(dataset, home, patience=SHORT).read_bytes() == publisher.body
    assert len(publisher.asked) == 2


def test_two_at_once_fetch_once(publisher, dataset, home):
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(lambda _: fetch(dataset, home, patience=SHORT), range(2)))
    assert [path.read_bytes() == publisher.body for path in paths] == [True, True]
    assert len(publisher.asked) == 1


@pytest.mark.parametrize("fault", ["cut", "stall"])
@pytest.mark.parametrize("version", [{"ETag": '"one"'}, {"Last_Modified": "Fri, 01 May 2026"}])
def test_only_the_rest_of_a_broken_download_is_asked_for(publisher, dataset, home, fault, version):
    publisher.version = version
    publisher.will(fault)
    patience = replace(SHORT, stall=0.5) if fault == "stall" else SHORT
    path = fetch(dataset, home, patience=patience)
    assert path.read_bytes() == publisher.body
    assert publisher.ranges == [None, f"bytes={publisher.half}-"]
    assert list(home.sources.iterdir()) == [path]


def test_each_attempt_goes_on_where_the_last_broke_off(publisher, dataset, home):
    half = publisher.half
    publisher.will("cut", ("status", 503), ("broken_rest", half, 1000, publisher.version))
    patience = replace(SHORT, attempts=4)
    assert fetch(dataset, home, patience=patience).read_bytes() == publisher.body
    assert publisher.ranges == [None, *[f"bytes={half}-"] * 2, f"bytes={half + 1000}-"]


def test_the_next_run_goes_on_where_the_last_gave_up(publisher, dataset, home):
    publisher.will("cut")
    with pytest.raises(RefusedError, match="after 1 attempts"):
        fetch(dataset, home, patience=replace(SHORT, attempts=1))
    assert not (home.sources / "ml-1m.zip").exists()
    assert fetch(dataset, home, patience=SHORT).read_bytes() == publisher.body
    assert publisher.ranges == [None, f"bytes={publisher.half}-"]


@pytest.mark.parametrize("state", ["without_ranges", "another_start", "another_version"])
def test_an_answer_that_is_not_the_rest_starts_anew(publisher, dataset, home, state):
    second = {
        "without_ranges": "without_ranges",
        "another_start": ("rest", 7, publisher.body, publisher.version),
        "another_version": ("rest", publisher.half, publisher.other, {"ETag": '"two"'}),
    }
    publisher.will("cut", second[state])
    assert fetch(dataset, home, patience=SHORT).read_bytes() == publisher.body


def test_a_rest_that_does_not_tell_its_version_is_taken_and_resumed(publisher, dataset, home):
    """As the standard has it of an archive that is known by its date alone."""
    publisher.version = {"Last_Modified": "Fri, 01 May 2026"}
    publisher.will("cut", ("broken_rest", publisher.half, 1000, {}))
    assert fetch(dataset, home, patience=SHORT).read_bytes() == publisher.body
    half = publisher.half
    assert publisher.ranges == [None, f"bytes={half}-", f"bytes={half + 1000}-"]


def test_a_version_that_has_no_strong_name_is_not_resumed(publisher, dataset, home):
    publisher.version = {"ETag": 'W/"weak"'}
    publisher.will("cut")
    assert fetch(dataset, home, patience=SHORT).read_bytes() == publisher.body
    assert publisher.ranges == [None, None]


def test_an_archive_that_changed_between_attempts_is_fetched_anew(publisher, changing, home):
    publisher.will(("status", 404), "cut_and_change")
    assert fetch(changing, home, patience=SHORT).read_bytes() == publisher.other
    assert publisher.ranges[1:] == [None, f"bytes={publisher.half}-"]


@pytest.mark.parametrize("code", [408, 425, 429, 500, 503])
def test_a_passing_trouble_is_waited_out(publisher, dataset, home, code):
    publisher.will(("status", code), ("status", code))
    assert fetch(dataset, home, patience=SHORT).read_bytes() == publisher.body
    assert len(publisher.asked) == 3


@pytest.mark.parametrize("version", [None, '"one"', '"old"'])
@pytest.mark.parametrize("size", [1, 400_500, 2_000_000])
def test_what_a_dead_process_left_does_no_harm(publisher, dataset, home, version, size):
    """It is the beginning where the version says so; longer than all, it is no beginning."""
    padded = publisher.body + bytes(2_000_000)
    (home.sources / "ml-1m.partial").write_bytes(padded[:size])
    if version:
        (home.sources / "ml-1m.version").write_text(version)
    path = fetch(dataset, home, patience=SHORT)
    assert path.read_bytes() == publisher.body
    assert list(home.sources.iterdir()) == [path]


@pytest.mark.parametrize("fault", ["whole", "cut"])
def test_progress_never_falls_and_ends_at_the_total(publisher, dataset, home, fault):
    seen = []
    publisher.will(fault)
    fetch(dataset, home, lambda done, total: seen.append((done, total)), SHORT)
    size = len(publisher.body)
    assert len(seen) > 1
    assert seen == sorted(set(seen))
    assert {total for _, total in seen} == {size}
    assert seen[-1] == (size, size)


def test_a_redirect_on_this_machine_is_followed(publisher, dataset, home):
    publisher.will(("redirect", "/elsewhere.zip"))
    assert fetch(dataset, home, patience=SHORT).read_bytes() == publisher.body
    assert [path for path, _ in publisher.asked] == ["/ml-1m.zip", "/elsewhere.zip"]


def test_a_checksum_that_stands_beside_the_archive_is_asked_for(publisher, changing, dataset, home):
    publisher.will(("text", f"{dataset.md5}  ml-1m.zip\n".encode()))
    assert fetch(changing, home, patience=SHORT).read_bytes() == publisher.body
    assert [path for path, _ in publisher.asked] == ["/ml-1m.zip.md5", "/ml-1m.zip"]
    fetch(changing, home, patience=SHORT)
    assert len(publisher.asked) == 2


@pytest.mark.parametrize(
    "beside",
    [
        [("text", b"No such page. Request " + b"0" * 32, 404)],
        [("redirect", "/ml-1m.zip.md5")] * 21,
        ["endless"],
    ],
)
def test_an_archive_without_a_checksum_is_taken_as_it_is(publisher, changing, home, beside):
    publisher.will(*beside)
    assert fetch(changing, home, patience=SHORT).read_bytes() == publisher.body
    assert publisher.sent < 32 << 20


def test_the_synthetic_world_is_written_anew_without_a_network(home):
    seen = []
    path = fetch(find("synthetic"), home, lambda done, total: seen.append((done, total)))
    first = path.read_bytes()
    path.write_bytes(b"damaged")
    assert fetch(find("synthetic"), home).read_bytes() == first
    users = SyntheticWorld().n_users
    assert seen == [(users, users)]

"""What a publisher can do that ends a download: one clear error, and nothing passes for good."""

import time
from dataclasses import replace

import pytest

from warehouse.errors import RefusedError
from warehouse.fetch import Patience, fetch

SHORT = Patience(attempts=3, stall=10.0, total=60.0, pause=0.01)
STALLED = replace(SHORT, stall=0.15)
SOON = 10.0  # long before the 30 s of no patience given, on a busy machine too
ELSEWHERE = "publisher.invalid"  # a name that no one can have


@pytest.fixture
def refused(publisher, dataset, home):
    """Fetch, which must fail; returns the error. Nothing may look like an archive afterwards."""

    def go(wanted=dataset, patience=SHORT) -> RefusedError:
        with pytest.raises(RefusedError) as caught:
            fetch(wanted, home, patience=patience)
        assert not (home.sources / "ml-1m.zip").exists()
        return caught.value

    return go


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_final_answer_is_not_asked_for_twice(publisher, refused, code):
    publisher.will(("status", code))
    error = str(refused())
    assert f"status {code} from {publisher.url}" in error
    assert "--source" in error
    assert len(publisher.asked) == 1


@pytest.mark.parametrize(
    ("fault", "reason", "patience"),
    [
        (("status", 503), "status 503", SHORT),
        ("stall", "ReadTimeout", STALLED),
        ("cut", "RemoteProtocolError", SHORT),
        (("redirect", "/ml-1m.zip"), "TooManyRedirects", SHORT),
    ],
)
def test_attempts_are_counted_and_the_last_trouble_is_told(
    publisher, refused, fault, reason, patience
):
    publisher.will(*[fault] * 70)
    error = str(refused(patience=patience))
    assert reason in error
    assert "after 3 attempts" in error
    assert publisher.url in error


def test_a_stalled_publisher_is_given_up_within_the_patience(publisher, refused):
    publisher.will("stall")
    started = time.monotonic()
    assert "ReadTimeout" in str(refused(patience=replace(STALLED, attempts=1)))
    assert 0.1 < time.monotonic() - started < SOON


def test_a_slow_publisher_is_given_up_after_the_total_time_and_gone_on_with(
    publisher, refused, dataset, home
):
    publisher.will("drip")  # a byte every 10 ms: it never stalls
    started, total = time.monotonic(), 1.0  # something has come by then, on a busy machine too
    error = str(refused(patience=replace(SHORT, total=total)))
    assert total < time.monotonic() - started < SOON
    assert "takes too long" in error
    assert fetch(dataset, home, patience=SHORT).read_bytes() == publisher.body
    start = int(publisher.ranges[1].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start < publisher.half


def test_no_attempt_begins_after_the_total_time(publisher, refused):
    publisher.will(*[("status", 503)] * 3)
    assert "after 1 attempts" in str(refused(patience=replace(SHORT, total=0.5, pause=1.0)))
    assert len(publisher.asked) == 1


def test_pauses_grow_twofold(publisher, refused):
    publisher.will(*[("status", 503)] * 4)
    started = time.monotonic()
    refused(patience=replace(SHORT, attempts=4, pause=0.05))
    assert 0.35 <= time.monotonic() - started < SOON  # 0.05 + 0.1 + 0.2


def test_a_port_where_nobody_listens_is_told(publisher, refused, dataset):
    free = publisher.url.replace(str(publisher.server_port), "1")
    error = str(refused(replace(dataset, url=free)))
    assert "ConnectError" in error
    assert free in error


def test_other_bytes_than_the_publishers_are_refused_and_not_gone_on_from(
    publisher, refused, dataset, home
):
    right = publisher.body
    publisher.body = publisher.other
    error = str(refused())
    assert dataset.md5 in error
    assert f"{len(right):,} bytes" in error
    publisher.body = right
    assert fetch(dataset, home, patience=SHORT).read_bytes() == right
    assert publisher.ranges == [None, None]


def test_the_checksum_beside_the_archive_counts(publisher, refused, changing):
    publisher.will(("text", b"0" * 32 + b"  ml-1m.zip"))
    assert f"expected MD5 {'0' * 32}" in str(refused(changing))


@pytest.mark.parametrize("page", [b"<html>Please log in</html>", b""])
def test_without_a_checksum_it_must_be_an_archive_at_least(publisher, refused, changing, page):
    """Otherwise it would be kept for good, and every run would fail on it."""
    publisher.will(("status", 404), ("text", page))
    error = str(refused(changing))
    assert f"got {len(page)} bytes" in error
    assert "expected a zip archive" in error


def test_a_download_without_length_that_ends_early_is_no_archive(publisher, refused, changing):
    publisher.will(("status", 404), "cut_without_length")
    assert "expected a zip archive" in str(refused(changing))


@pytest.mark.parametrize("script", ["too_long", "endless"])
def test_more_than_the_known_size_is_refused_and_not_stored(publisher, refused, home, script):
    publisher.will(script)
    assert "larger than it should be" in str(refused())
    assert (home.sources / "ml-1m.partial").stat().st_size <= len(publisher.body)
    assert publisher.sent < 32 << 20
    assert len(publisher.asked) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"http://{ELSEWHERE}/ml-1m.zip",
        f"http://127.0.0.1.{ELSEWHERE}/ml-1m.zip",
        f"http://localhost@{ELSEWHERE}/ml-1m.zip",
        f"ftp://{ELSEWHERE}/ml-1m.zip",
    ],
)
@pytest.mark.parametrize("by", ["address", "redirect", "redirect of the checksum"])
def test_only_https_leaves_this_machine(publisher, refused, dataset, changing, url, by):
    publisher.will(("redirect", url))
    wanted = {"address": replace(dataset, url=url), "redirect": dataset}.get(by, changing)
    error = str(refused(wanted))
    assert ELSEWHERE in error
    assert "expected https" in error
    assert len(publisher.asked) == (by != "address")

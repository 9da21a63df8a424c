"""Lines that are no ratings are set aside with number and reason; files that are none, refused."""

import time

import pytest

from warehouse.archive_landing import EARLIEST
from warehouse.errors import RefusedError

GOOD = b"1::7::5::960000000"
HEADER = b"userId,movieId,rating,timestamp"
REJECTS = "SELECT member, source_row, line, reason FROM raw.rejects ORDER BY member, source_row"
USER = "user is not a whole number from 1"
MOVIE = "movie is not a whole number from 1"
LIMIT = "is above the limit of ids, 2147483647"
SCALE = "rating is not on the scale"
WHOLE = "timestamp is not a whole number of seconds"
RANGE = "timestamp is before 1995 or in the future"
BAD_LINES = [
    (b"1::7::5", "3 fields instead of 4"),
    (b"1::7::5::960000000::", "5 fields instead of 4"),
    (b"1::7::5::960000000::x", "5 fields instead of 4"),
    (b"1,7,5,960000000", "1 fields instead of 4"),
    (b"1:7:5:960000000", "1 fields instead of 4"),
    (b"UserID::MovieID::Rating::Timestamp", USER),
    (b"::7::5::960000000", USER),
    (b"0::7::5::960000000", USER),
    (b"-1::7::5::960000000", USER),
    (b"+1::7::5::960000000", USER),
    (b"01::7::5::960000000", USER),
    (b" 1::7::5::960000000", USER),
    (b"1.0::7::5::960000000", USER),
    (b"1e2::7::5::960000000", USER),
    (b"1_0::7::5::960000000", USER),
    (b"0x1::7::5::960000000", USER),
    (b'"1"::7::5::960000000', USER),
    (b"2147483648::7::5::960000000", f"user {LIMIT}"),
    (b"9" * 60 + b"::7::5::960000000", f"user {LIMIT}"),
    (b"1::0::5::960000000", MOVIE),
    (b"1::-7::5::960000000", MOVIE),
    (b"1::2147483648::5::960000000", f"movie {LIMIT}"),
    (b"1::02147483648::5::960000000", MOVIE),
    (b"1::-2147483648::5::960000000", MOVIE),
    (b"1::NULL::5::960000000", MOVIE),
    (b"1::7::0::960000000", SCALE),
    (b"1::7::6::960000000", SCALE),
    (b"1::7::-1::960000000", SCALE),
    (b"1::7::4.5::960000000", SCALE),
    (b"1::7::4.9999999999::960000000", SCALE),
    (b"1::7::nan::960000000", SCALE),
    (b"1::7::::960000000", SCALE),
    (b"1::7::05::960000000", SCALE),
    (b"1::7::5::960000000.0", WHOLE),
    (b"1::7::5::9.6e8", WHOLE),
    (b"1::7::5::2000-06-03 02:40:00", WHOLE),
    (b"1::7::5::", WHOLE),
    (b"1::7::5::" + b"9" * 40, WHOLE),
    (b"1::7::5::960000000 ", WHOLE),
    (b"1::7::5::0", RANGE),
    (b"1::7::5::-960000000", RANGE),
    (b"1::7::5::%d" % (EARLIEST - 1), RANGE),
    (b"1::7::5::960000000000", RANGE),  # milliseconds
    (b"1::7::5::%d" % (time.time() + 3 * 86_400), RANGE),
]


def test_every_kind_of_bad_line_is_rejected_with_its_number_and_reason(land_files):
    """Good and bad lines in turn, so that a line taken wrongly would show in both tables."""
    text = b"".join(GOOD + b"\n" + line + b"\n" for line, _ in BAD_LINES)
    landed = land_files("ml-1m", text)
    assert landed.rows(REJECTS) == [
        ("ml-1m/ratings.dat", 2 * number, line.decode(), reason)
        for number, (line, reason) in enumerate(BAD_LINES, start=1)
    ]
    rows = landed.rows("SELECT source_row FROM raw.ratings ORDER BY source_row")
    assert rows == [(2 * number + 1,) for number in range(len(BAD_LINES))]
    assert landed.load.n_rejects == len(BAD_LINES)
    assert (landed.load.n_ratings, landed.load.n_users) == (len(BAD_LINES), 1)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"1::\x007::5::960000000", "1::?7::5::960000000"),
        (b"1::7\xff::5::960000000", "1::7?::5::960000000"),
        ("１::7::5::960000000".encode(), "???::7::5::960000000"),
        (b"1::7::5\r::960000000", "1::7::5?::960000000"),
        (b"\x1b[31m::7::5::960000000", "?[31m::7::5::960000000"),
        (b"", "?"),
        (b"x" * 5000, "x" * 200),
        (GOOD + b" " * 5000, GOOD.decode() + " " * (200 - len(GOOD))),
        (b"1::7::" + b"0" * 3_000_000 + b"5::960000000", "1::7::" + "0" * 194),
    ],
    ids=["NUL", "not ASCII", "wide digit", "CR", "colour", "empty", "5 kB", "padded", "3 MB"],
)
def test_strange_bytes_are_rejected_where_they_stand_and_shown_harmless(land_files, line, shown):
    landed = land_files("ml-1m", GOOD + b"\n" + line + b"\n" + GOOD + b"\n")
    found = landed.rows("SELECT source_row, line, reason FROM raw.rejects")
    too_long = [(2, shown, "line is over 4095 characters")]
    assert found == too_long if len(line) > 4095 else found[0][:2] == (2, shown)
    assert landed.rows("SELECT source_row FROM raw.ratings ORDER BY 1") == [(1,), (3,)]


def test_empty_lines_are_rejected_and_counted_as_lines(land_files):
    landed = land_files("ml-1m", b"\n\n\n" + GOOD + b"\r\n\r\n\n" + GOOD + b"\n\n")
    rejects = landed.rows("SELECT source_row FROM raw.rejects ORDER BY 1")
    assert rejects == [(1,), (2,), (3,), (5,), (6,), (8,)]
    assert landed.rows("SELECT source_row FROM raw.ratings ORDER BY 1") == [(4,), (7,)]


@pytest.mark.parametrize("stars", ["0", "0.0", "0.25", "4.75", "5.5", "-0.5", ".5", "4.50", '"4"'])
def test_stars_between_the_half_stars_are_rejected_in_a_csv(land_files, stars):
    rows = f"1,7,{stars},960000000\n1,7,4.5,960000000\n"
    landed = land_files("ml-20m", HEADER + b"\n" + rows.encode())
    found = landed.rows("SELECT source_row, reason FROM raw.rejects")
    assert found == [(2, SCALE)]
    assert landed.rows("SELECT source_row, rating FROM raw.ratings") == [(3, 4.5)]


@pytest.mark.parametrize(
    ("name", "ratings", "why"),
    [
        ("ml-1m", b"", "ratings.dat is empty: got 0 rows"),
        ("ml-1m", b"\xef\xbb\xbf", "ratings.dat is empty: got 0 rows"),
        ("ml-1m", b"\n", "holds no rating that can be read: got 0 rows; line 1"),
        ("ml-1m", b"a\nb\n", "0 rows; line 1 is 'a': 1 fields instead of 4"),
        ("ml-1m", GOOD, "is cut: its last line does not end: got 0 whole lines"),
        ("ml-1m", GOOD + b"\n1::7::5::96", "last line does not end: got 1 whole lines"),
        ("ml-1m", GOOD + b"\r" + GOOD + b"\r", "ends its lines with CR alone"),
        ("ml-1m", GOOD.decode().encode("utf-32"), "ratings.dat is in another encoding: got UTF-32"),
        ("ml-1m", (GOOD + b"\n").decode().encode("utf-16-le"), "got UTF-16 without its byte-order"),
        ("ml-1m", (GOOD + b"\n").decode().encode("utf-16-be"), "got UTF-16 without its byte-order"),
        ("ml-1m", (GOOD + b"\n").decode().encode("utf-16")[:-1], "last line does not end"),
        ("ml-1m", b"x" * 3_000_000, "last line does not end"),
        ("ml-20m", HEADER + b"\n", "holds no rating that can be read: got 0 rows"),
        ("ml-20m", b"", "ratings.csv is empty: got 0 rows"),
        ("ml-20m", b"1,7,5,960000000\n", "another header: got '1,7,5,960000000'"),
        ("ml-20m", b"movieId,userId,rating,timestamp\n1,7,5,960000000\n", "another header"),
        ("ml-20m", HEADER.upper() + b"\n1,7,5,960000000\n", "expected 'userId,movieId,rating"),
        ("ml-100k", b"1::7::5::960000000\n", "line 1 is .*: 1 fields instead of 4"),
    ],
)
def test_a_ratings_file_that_is_none_is_refused(land_files, name, ratings, why):
    with pytest.raises(RefusedError, match=why):
        land_files(name, ratings)

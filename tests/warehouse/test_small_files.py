"""Movies and users: each line is taken as it is or rejected with number and reason."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from warehouse import small_files
from warehouse.database import connected, statements
from warehouse.errors import RefusedError
from warehouse.raw_ids import MAX_ID, read_id

GOOD = b"1::7::5::960000000"
HEADER = b"userId,movieId,rating,timestamp"
REJECTS = "SELECT member, source_row, line, reason FROM raw.rejects ORDER BY member, source_row"
USER = "user is not a whole number from 1"
LIMIT = "is above the limit of ids, 2147483647"
CUT = "the file ends before this line does: no line feed"
MOVIES = "movieId,title,genres\n"
NOT_MOVIE = "movie is not a whole number from 1"


@pytest.mark.parametrize(
    ("name", "good", "line", "reason"),
    [
        ("ml-1m", "7::Seven::War", "8::Mission:: Impossible::War", "4 fields instead of 3"),
        ("ml-1m", "7::Seven::War", "8::Which::", None),
        ("ml-1m", "7::Seven::War", "8::Ends in a colon:::War", "':::' can be read in two ways"),
        ("ml-1m", "7::Seven::War", "08::Padded::War", NOT_MOVIE),
        ("ml-1m", "7::Seven::War", "-8::Below::War", NOT_MOVIE),
        ("ml-1m", "7::Seven::War", "²::Square::War", NOT_MOVIE),
        ("ml-1m", "7::Seven::War", "9999999999::Huge::War", f"movie {LIMIT}"),
        ("ml-1m", "7::Seven::War", "", "1 fields instead of 3"),
        ("ml-20m", "7,Seven,War", "8,Good, Bad,War", "4 fields instead of 3"),
        ("ml-20m", "7,Seven,War", '8,"Open,War', "unexpected end of data"),
        ("ml-20m", "7,Seven,War", '8,"Shut" late,War', "',' expected after '\"'"),
        ("ml-20m", "7,Seven,War", "", "0 fields instead of 3"),
    ],
)
def test_a_line_of_movies_is_taken_or_rejected_with_its_reason(
    land_files, name, good, line, reason
):
    csv = name == "ml-20m"
    ratings = HEADER + b"\n1,7,5,960000000\n" if csv else GOOD + b"\n"
    encoding = "utf-8" if csv else "latin-1"
    items = (MOVIES if csv else "") + f"{good}\n{line}\n{good.replace('7', '9', 1)}\n"
    landed = land_files(name, ratings, items=items.encode(encoding))
    member = f"{name}/movies.{'csv' if csv else 'dat'}"
    expected = [(member, 3 if csv else 2, line, reason)] if reason else []
    assert landed.rows(REJECTS) == expected
    assert landed.rows("SELECT count(*) FROM raw.items") == [(2 if reason else 3,)]


@pytest.mark.parametrize(
    ("name", "items", "why"),
    [
        ("ml-1m", "7::Café::War\n".encode(), "movies.dat is in another encoding: got UTF-8"),
        ("ml-20m", "movieId,title,genres\n7,Café,War\n".encode("latin-1"), "got byte 0xe9 at 26"),
        ("ml-20m", b"\xef\xbb\xbfmovieId,title,genres\n7,\xe9\n", "got byte 0xe9 at 26"),
        ("ml-20m", b"movieId,genres,title\n7,War,Seven\n", "movies.csv has another header"),
        ("ml-20m", b"movieId,title,genres\n", "no movie that can be read: got 0 rows. Check"),
    ],
)
def test_a_movies_file_of_another_kind_is_refused(land_files, name, items, why):
    ratings = HEADER + b"\n1,7,5,960000000\n" if name == "ml-20m" else GOOD + b"\n"
    with pytest.raises(RefusedError, match=why):
        land_files(name, ratings, items=items)


def test_a_movies_file_past_the_limit_is_refused(land_files, monkeypatch):
    monkeypatch.setattr(small_files, "MAX_SMALL_FILE_BYTES", 15)
    land_files("ml-1m", GOOD + b"\n", items=b"7::Seven::War\n", users=b"1::F::1::2::3\n")
    with pytest.raises(RefusedError, match=r"movies\.dat is too large: expected 15 bytes"):
        land_files("ml-1m", GOOD + b"\n", items=b"7::Seven::Wars!\n")


CONTROLS = [
    ("A\0B", "control character U+0000", "A?B"),
    ("A\x1b[31mB", "control character U+001B", "A?[31mB"),
    ("A\tB", "control character U+0009", "A?B"),
    ("A\rB", "control character U+000D", "A?B"),
    ("A\x7fB", "control character U+007F", "A?B"),
    ("A\x85B", "control character U+0085 (Windows-1252 text?)", "A?B"),
    ("A\x92B", "control character U+0092 (Windows-1252 text?)", "A?B"),
]
FLAGS = "0|" * 18
SPELT = {  # how a layout writes a movie, by its number and title
    "ml-1m": "{}::{}::War\n",
    "ml-100k": "{}|{}|01-Jan-1995||http://x|" + FLAGS + "1\n",
    "ml-20m": "{},{},War\n",
}
RATING = {"ml-1m": GOOD, "ml-100k": GOOD.replace(b"::", b"\t")}
RATING["ml-20m"] = HEADER + b"\n" + GOOD.replace(b"::", b",")


def land_movies(land_files, name, movies):
    """Land these movies, after a header where there is one; give its member's name too."""
    csv = name == "ml-20m"
    text = (MOVIES if csv else "") + movies
    landed = land_files(
        name, RATING[name] + b"\n", items=text.encode("utf-8" if csv else "latin-1")
    )
    files = {"ml-1m": "movies.dat", "ml-100k": "u.item", "ml-20m": "movies.csv"}
    return landed, f"{name}/{files[name]}", 2 if csv else 1


@pytest.mark.parametrize("name", SPELT)
def test_control_characters_in_titles_are_rejected_in_every_layout(land_files, name):
    spelt = SPELT[name]
    movies = "".join(
        spelt.format(number, f"Good {number}") + spelt.format(100 + number, title)
        for number, (title, _, _) in enumerate(CONTROLS, start=1)
    )
    landed, member, first = land_movies(land_files, name, movies)
    assert landed.rows(REJECTS) == [
        (member, first - 1 + 2 * number, spelt.format(100 + number, shown).rstrip("\n"), reason)
        for number, (_, reason, shown) in enumerate(CONTROLS, start=1)
    ]
    titles = landed.rows("SELECT title FROM raw.items ORDER BY raw_item_id")
    assert titles == [(f"Good {number}",) for number in range(1, len(CONTROLS) + 1)]


@pytest.mark.parametrize("name", SPELT)
def test_ids_of_movies_reach_as_far_as_those_of_ratings(land_files, name):
    ids = [1_500_000_000, MAX_ID, MAX_ID + 1, 10**30]
    movies = "".join(SPELT[name].format(number, "Seven (1995)") for number in ids)
    landed, member, first = land_movies(land_files, name, movies)
    assert landed.rows("SELECT raw_item_id FROM raw.items") == [(1_500_000_000,), (MAX_ID,)]
    rejects = landed.rows("SELECT member, source_row, reason FROM raw.rejects ORDER BY 2")
    assert rejects == [(member, first + place, f"movie {LIMIT}") for place in (2, 3)]


@pytest.mark.parametrize("name", SPELT)
def test_the_first_of_several_movies_with_one_id_counts(land_files, name):
    movies = "".join(SPELT[name].format(7, title) for title in ("Seven", "Other", "Seven"))
    landed, member, first = land_movies(land_files, name, movies)
    assert landed.rows("SELECT raw_item_id, title FROM raw.items") == [(7, "Seven")]
    why = f"movie 7 is in line {first} already"
    rejects = landed.rows("SELECT member, source_row, reason FROM raw.rejects ORDER BY 2")
    assert rejects == [(member, first + 1, why), (member, first + 2, why)]


@pytest.mark.parametrize("name", SPELT)
def test_a_last_line_that_may_be_cut_is_rejected(land_files, name):
    """One digit ends the lines of u.item: what was cut there has a field less."""
    movies = "".join(SPELT[name].format(number, "Seven") for number in (7, 8))
    for lost in (1, 2, 5):
        landed, member, first = land_movies(land_files, name, movies[:-lost])
        if name == "ml-100k" and lost == 1:
            assert landed.rows("SELECT count(*) FROM raw.items") == [(2,)]
            assert landed.load.n_rejects == 0
            continue
        assert landed.rows("SELECT raw_item_id FROM raw.items") == [(7,)]
        rejects = landed.rows("SELECT member, source_row, reason FROM raw.rejects")
        assert rejects == [(member, first + 1, CUT)]


BAD_USERS = [
    ("2::F::25::4", "4 fields instead of 5"),
    ("2::F::25::4::10115::x", "6 fields instead of 5"),
    ("0::F::25::4::10115", USER),
    ("x::F::25::4::10115", USER),
    ("2147483648::F::25::4::10115", f"user {LIMIT}"),
    ("2::::25::4::10115", "gender is missing"),
    ("2:: ::25::4::10115", "gender is missing"),
    ("2::F::::4::10115", "age is not a whole number of years"),
    ("2::F::old::4::10115", "age is not a whole number of years"),
    ("2::F::-1::4::10115", "age is not a whole number of years"),
    ("2::F::²::4::10115", "age is not a whole number of years"),
    ("2::F::25::::10115", "occupation is missing"),
    ("2::F::25::4\x1b[2J::10115", "control character U+001B"),
    ("2::F::25::4::101\x0015", "control character U+0000"),
    ("1::M::25::4::10115", "user 1 is in line 1 already"),
    ("3::F::25::4::" + "0" * 4096, "line is over 4095 characters"),
    ("2::F::25::4::101", CUT),
]


@pytest.mark.parametrize("name", ["ml-1m", "ml-100k"])
def test_lines_of_users_are_rejected_with_their_reasons(land_files, name):
    def spelt(line: str) -> str:
        fields = line.replace("::", "|").split("|")
        if len(fields) == 5:
            fields[1], fields[2] = fields[2], fields[1]
        return line if name == "ml-1m" else "|".join(fields)

    two_ways = "':::' can be read in two ways"
    bad = [
        (line, two_ways if name == "ml-1m" and ":::" in line else reason)
        for line, reason in BAD_USERS
    ]
    text = "\n".join(spelt(line) for line in ["1::F::25::4::10115", *(line for line, _ in bad)])
    landed = land_files(name, RATING[name] + b"\n", users=text.encode("latin-1"))
    rows = landed.rows("SELECT source_row, reason FROM raw.rejects ORDER BY 1")
    assert rows == list(enumerate((reason for _, reason in bad), start=2))
    users = landed.rows("SELECT raw_user_id, gender, age, occupation FROM raw.users")
    assert users == [(1, "F", "25", "4")]


@pytest.mark.parametrize("line", ["7:: ::War", "7::\u00a0::War"])
def test_a_movie_without_a_title_is_rejected(land_files, line):
    landed = land_files("ml-1m", GOOD + b"\n", items=f"8::Eight::\n{line}\n".encode("latin-1"))
    assert landed.rows("SELECT source_row, reason FROM raw.rejects") == [(2, "title is missing")]


def test_a_flag_that_is_none_is_rejected(land_files):
    movies = SPELT["ml-100k"].format(7, "Seven") + SPELT["ml-100k"].format(8, "E").replace(
        "1\n", "2\n"
    )
    landed, _, _ = land_movies(land_files, "ml-100k", movies)
    reasons = landed.rows("SELECT source_row, reason FROM raw.rejects")
    assert reasons == [(2, "a genre's flag is neither 0 nor 1")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
@pytest.mark.parametrize("name", SPELT)
def test_a_byte_order_mark_names_the_encoding_of_every_file(land_files, name, encoding):
    marked = "\ufeff" if encoding.endswith("e") else ""
    text = ("movieId,title,genres\r\n" if name == "ml-20m" else "") + SPELT[name].format(7, "千 é")
    ratings = (RATING[name] + b"\r\n").decode()
    landed = land_files(
        name, (marked + ratings).encode(encoding), items=(marked + text).encode(encoding)
    )
    assert landed.rows("SELECT raw_item_id, title FROM raw.items") == [(7, "千 é")]
    rows = landed.rows("SELECT raw_user_id, raw_item_id, rating, timestamp FROM raw.ratings")
    assert rows == [(1, 7, 5.0, 960000000)]
    assert landed.load.n_rejects == 0


def test_utf_16_ratings_of_several_megabytes_keep_every_line_at_its_place(land_files):
    """Longer than a chunk, with a character of two units that a chunk's end may part."""
    lines = [f"{n}::7::5::960000000" for n in range(1, 60_001)]
    lines[99] = "🎬" * 1001
    landed = land_files("ml-1m", ("\n".join(lines) + "\n").encode("utf-16"))
    assert landed.rows("SELECT source_row, line FROM raw.rejects") == [(100, "?" * 200)]
    shifted = "SELECT count(*) FROM raw.ratings WHERE source_row <> raw_user_id"
    assert landed.rows(shifted) == [(0,)]
    assert landed.load.n_ratings == 59_999


@pytest.mark.parametrize(
    ("items", "why"),
    [
        (b"\xef\xbb\xbf", "movies.dat is empty: got 0 rows"),
        (b"\n", "holds no movie that can be read: got 0 rows; line 1 is '': 1 fields"),
        (b"7::Seven::War", f"holds no movie that can be read: got 0 rows; line 1 .*: {CUT}"),
        (b"7::Seven::War\r8::Eight::War\r", "movies.dat ends its lines with CR alone"),
        ("7::Seven::War\n".encode("utf-32"), "movies.dat is in another encoding: got UTF-32"),
        ("7::Seven::War\n".encode("utf-16-le"), "got UTF-16 without its byte-order mark"),
        ("7::Seven::War\n".encode("utf-16-be"), "got UTF-16 without its byte-order mark"),
        ("7::Seven::War\n".encode("utf-16")[:-1], "got byte 0x0a at 28, expected UTF-16"),
        (b"\xef\xbb\xbf7::Caf\xe9::War\n", "got byte 0xe9 at 9, expected UTF-8"),
    ],
)
def test_a_movies_file_that_is_none_is_refused(land_files, items, why):
    with pytest.raises(RefusedError, match=why):
        land_files("ml-1m", GOOD + b"\n", items=items)


def test_an_empty_users_file_is_refused(land_files, write_zip):
    with pytest.raises(
        RefusedError, match=r"users\.dat holds no user that can be read: got 0 rows"
    ):
        land_files("ml-1m", GOOD + b"\n", users=b"\n")


def test_a_file_of_nothing_but_lines_is_refused_at_once(land_files):
    with pytest.raises(RefusedError, match=r"movies\.dat has too many lines: got 2,000,000"):
        land_files("ml-1m", GOOD + b"\n", items=b"\n" * 2_000_000)


def test_many_rejects_are_stored_in_one_go(land_files):
    landed = land_files("ml-1m", GOOD + b"\n", items=b"7::Seven::War\n" + b"x\n" * 100_000)
    assert landed.load.n_rejects == 100_000


near_limit = st.integers(MAX_ID - 3, MAX_ID + 3).map(str)
digits = st.text("0123456789", max_size=12)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.one_of(near_limit, digits, st.text(max_size=4)), min_size=20, max_size=20))
@example(["", " 1", "1 ", "+1", "-1", "01", "1\n", "1_0", "٣", "²", "9" * 4000, "0", "1e3"])
def test_python_and_sql_read_ids_by_one_rule(macros, texts):
    query = """
        SELECT CASE WHEN is_whole(text, 1, $max_id) THEN CAST(text AS BIGINT)::VARCHAR
                    ELSE why_no_id('movie', text, $max_id) END
        FROM (SELECT unnest($texts) AS text)
    """
    found = macros.execute(query, {"max_id": MAX_ID, "texts": texts}).fetchall()
    assert [row[0] for row in found] == [in_python(text) for text in texts]


def in_python(text: str) -> str:
    try:
        return str(read_id(text, "movie"))
    except ValueError as error:
        return str(error)


@pytest.fixture(scope="module")
def macros(tmp_path_factory):
    with connected(tmp_path_factory.mktemp("ids") / "ids.duckdb") as connection:
        connection.execute(statements("landing/why_not"))
        yield connection

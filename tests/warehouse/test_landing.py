"""Archives that land: every layout, to the exact value, in the order of the file."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warehouse.archive_landing import EARLIEST
from warehouse.catalogue import reading
from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.following import newest
from warehouse.landing import land, load_id_of
from warehouse.lines import MAX_LINE_BYTES
from warehouse.publishing import publish_load
from warehouse.staging import staging_folder

RATINGS = "SELECT raw_user_id, raw_item_id, rating, timestamp FROM raw.ratings ORDER BY source_row"
HEADER = b"userId,movieId,rating,timestamp\n"
T = 960_000_000
LAYOUTS = {
    "ml-1m": b"9::7::5::960000002\n1::3::1::960000001\n9::3::4::960000001\n",
    "ml-100k": b"9\t7\t5\t960000002\n1\t3\t1\t960000001\n9\t3\t4\t960000001\n",
    "ml-20m": HEADER + b"9,7,5,960000002\n1,3,1,960000001\n9,3,4,960000001\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_lands_in_the_order_of_the_file(land_files, name):
    landed = land_files(name, LAYOUTS[name])
    assert landed.rows(RATINGS) == [(9, 7, 5.0, T + 2), (1, 3, 1.0, T + 1), (9, 3, 4.0, T + 1)]
    first = 2 if name == "ml-20m" else 1  # a header is line 1
    lines = landed.rows(
        "SELECT source_row FROM raw.ratings ORDER BY raw_user_id DESC, timestamp DESC"
    )
    assert lines == [(first,), (first + 2,), (first + 1,)]
    load = landed.load
    assert (load.n_ratings, load.n_users, load.n_items, load.n_rejects) == (3, 2, 2, 0)
    assert (load.dataset, load.source, load.verified) == (name, "source.zip", False)


def test_columns_have_their_types_and_their_load(land_files):
    landed = land_files("ml-1m", LAYOUTS["ml-1m"])
    types = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'ratings'"
    assert dict(landed.rows(types)) == {
        "load_id": "VARCHAR",
        "source_row": "BIGINT",
        "raw_user_id": "BIGINT",
        "raw_item_id": "BIGINT",
        "rating": "FLOAT",
        "timestamp": "BIGINT",
    }
    for table in ("ratings", "items", "users", "loads"):
        assert landed.rows(f"SELECT DISTINCT load_id FROM raw.{table}") == [(landed.load.load_id,)]
    stored = "SELECT source_sha256, n_ratings, n_users, n_items, verified FROM raw.loads"
    assert landed.rows(stored) == [(landed.load.source_sha256, 3, 2, 2, False)]


def test_half_stars_land_where_they_may_be_given(land_files):
    stars = [b"0.5", b"1", b"1.0", b"2.5", b"3.5", b"4.5", b"5.0", b"5"]
    lines = [b"1,%d,%s,960000000\n" % (item, text) for item, text in enumerate(stars, start=1)]
    landed = land_files("ml-25m", HEADER + b"".join(lines))
    found = [row[0] for row in landed.rows("SELECT rating FROM raw.ratings ORDER BY source_row")]
    assert found == [0.5, 1, 1, 2.5, 3.5, 4.5, 5, 5]


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("spelling", ["CRLF", "byte-order mark", "both"])
def test_line_ends_and_a_byte_order_mark_change_nothing(land_files, name, spelling):
    expected = land_files(name, LAYOUTS[name]).rows(RATINGS)
    data = LAYOUTS[name] if spelling == "byte-order mark" else LAYOUTS[name].replace(b"\n", b"\r\n")
    landed = land_files(name, data if spelling == "CRLF" else b"\xef\xbb\xbf" + data)
    assert landed.rows(RATINGS) == expected
    assert landed.load.n_rejects == 0


ITEMS = "SELECT raw_item_id, title, genres FROM raw.items ORDER BY raw_item_id"


def test_latin_1_titles_land_as_they_are_read(land_files):
    items = (
        "1::Café ¡Ñandú! (1999)::Drama|War\n2::A | B, \"C\" 'D': E; =F() (2000)::\n3::\xa0A::x\n"
    )
    landed = land_files("ml-1m", LAYOUTS["ml-1m"], items=items.encode("latin-1"))
    assert landed.rows(ITEMS) == [
        (1, "Café ¡Ñandú! (1999)", "Drama|War"),
        (2, "A | B, \"C\" 'D': E; =F() (2000)", ""),
        (3, "\xa0A", "x"),
    ]


def test_utf_8_titles_with_commas_and_quotes_land_as_they_are_read(land_files):
    items = (
        "movieId,title,genres\r\n"
        '1,"American President, The (1995)",Comedy|Drama\r\n'
        '2,"""Great Performances"" Cats (1998)",(no genres listed)\r\n'
        "3,千と千尋の神隠し 🎬::x (2001),Animation\r\n"
    )
    landed = land_files("ml-32m", LAYOUTS["ml-20m"], items=items.encode())
    assert landed.rows(ITEMS) == [
        (1, "American President, The (1995)", "Comedy|Drama"),
        (2, '"Great Performances" Cats (1998)', ""),
        (3, "千と千尋の神隠し 🎬::x (2001)", "Animation"),
    ]
    assert landed.rows("SELECT raw_user_id, gender FROM raw.users") == [(1, None), (9, None)]


def test_flags_of_the_oldest_layout_become_genres(land_files):
    flags = ["0"] * 19
    flags[1] = flags[15] = "1"
    items = f"267|Niña, la (1994)|01-Jan-1994||http://x?a=b|{'|'.join(flags)}"  # no last line feed
    users = b"1|24|M|technician|85711\n2|53|F|other|94043\n"
    landed = land_files("ml-100k", LAYOUTS["ml-100k"], items=items.encode("latin-1"), users=users)
    assert landed.rows(ITEMS) == [(267, "Niña, la (1994)", "Action|Sci-Fi")]
    found = landed.rows("SELECT raw_user_id, gender, age, occupation FROM raw.users ORDER BY 1")
    assert found == [(1, "M", "24", "technician"), (2, "F", "53", "other")]


def test_a_pair_that_stands_twice_lands_twice(land_files):
    """Raw tables keep what the archive says; which one counts is decided when preparing."""
    landed = land_files("ml-1m", b"1::7::5::960000001\n1::7::3::960000000\n1::7::5::960000001\n")
    assert landed.rows(RATINGS) == [(1, 7, 5, T + 1), (1, 7, 3, T), (1, 7, 5, T + 1)]
    assert (landed.load.n_ratings, landed.load.n_users, landed.load.n_items) == (3, 1, 1)


def test_ids_and_timestamps_at_their_limits_land(land_files):
    lines = f"2147483647::2147483647::1::{EARLIEST}\n1::1::5::{EARLIEST}\n"
    landed = land_files("ml-1m", lines.encode())
    assert landed.rows(RATINGS) == [(2147483647, 2147483647, 1, EARLIEST), (1, 1, 5, EARLIEST)]


def test_landing_again_is_the_same_load_and_is_published_once(home, staging, write_zip, files):
    source = write_zip(files)
    dataset = find("ml-1m")
    load_id = load_id_of(dataset, source)
    content = "SELECT * FROM raw.ratings ORDER BY source_row"
    published = []
    for _ in range(2):
        folder = staging()
        load = land(dataset, source, folder)
        assert load.load_id == load_id
        publish_load(home, folder)
        with reading(home) as connection:
            published.append(connection.execute(content).fetchall())
            counts = "SELECT count(*), count(DISTINCT load_id), any_value(n_ratings) FROM raw.loads"
            assert connection.execute(counts).fetchone() == (1, 1, 80)
    assert len(published[0]) == 80
    assert published[0] == published[1]


def test_other_bytes_or_another_data_set_make_another_load(write_zip, files):
    source = write_zip(files)
    first = load_id_of(find("ml-1m"), source)
    assert load_id_of(find("ml-20m"), source) != first
    source.rename(source.with_name("renamed.zip"))
    assert load_id_of(find("ml-1m"), source.with_name("renamed.zip")) == first
    other = write_zip(files | {"ml-1m/ratings.dat": b"1::7::4::960000000\n"})
    assert load_id_of(find("ml-1m"), other) != first


def test_a_landing_that_fails_leaves_warehouse_and_readers_copy_as_they_were(
    home, published_snapshot, write_zip, files
):
    def published() -> set[Path]:
        return {newest(home), *home.store.rglob("*"), *home.sequences.iterdir()}

    before = published(), home.published.read_bytes()
    source = write_zip(files | {"ml-1m/users.dat": "1::é::25::4::1\n".encode()})
    with (
        pytest.raises(RefusedError, match="another encoding"),
        staging_folder(home, "load") as folder,
    ):
        land(find("ml-1m"), source, folder)
    assert (published(), home.published.read_bytes()) == before
    assert list(home.staging.glob("load-*")) == []  # no copies


def test_what_a_killed_landing_left_is_not_taken(home, write_zip, files):
    """It left its folder, with rows of the same load; the next lands in another."""
    source, dataset = write_zip(files), find("ml-1m")
    code = """
import os, signal, sys
from pathlib import Path
from warehouse import archive_landing, landing
from warehouse.datasets import find
from warehouse.home import Home
from warehouse.staging import staging_folder
archive_landing._land_users = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with staging_folder(Home.at(sys.argv[1]), "load") as folder:
    landing.land(find("ml-1m"), Path(sys.argv[2]), folder)
"""
    done = subprocess.run([sys.executable, "-c", code, str(home.root), str(source)])
    assert done.returncode == -9
    (left,) = home.staging.iterdir()
    assert list(left.rglob("rows.parquet"))
    with staging_folder(home, "load") as folder:
        assert land(dataset, source, folder).n_ratings == 80
        publish_load(home, folder)
    with reading(home) as connection:
        assert connection.execute("SELECT count(*) FROM raw.ratings").fetchone() == (80,)


def test_a_folder_with_a_pattern_as_its_name_is_that_folder(write_zip, files, tmp_path):
    folder = tmp_path / "[a-z]*;'"
    folder.mkdir()
    assert land(find("ml-1m"), write_zip(files), folder).n_ratings == 80


def test_progress_ends_with_all_bytes(write_zip, files, tmp_path):
    seen = []
    size = len(files["ml-1m/ratings.dat"])
    land(find("ml-1m"), write_zip(files), tmp_path, lambda *at: seen.append(at))
    assert seen[-1] == (size, size)


def naive(text: str) -> list[tuple[int, int, float, int]]:
    """What the documentation of ML-1M says, read with nothing but `split`."""
    rows = [line.split("::") for line in text.splitlines()]
    return [(int(user), int(item), float(stars), int(when)) for user, item, stars, when in rows]


ids = st.integers(1, 2**31 - 1)
rating_rows = st.lists(
    st.tuples(ids, ids, st.integers(1, 5), st.integers(EARLIEST, 1_700_000_000)),
    min_size=1,
    max_size=100,
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rating_rows)
def test_random_ratings_land_as_a_naive_parser_reads_them(land_files, rows):
    text = "".join(f"{user}::{item}::{stars}::{when}\n" for user, item, stars, when in rows)
    landed = land_files("ml-1m", text.encode())
    assert landed.rows(RATINGS) == naive(text)
    assert landed.load.n_users == len({row[0] for row in rows})


def test_many_blocks_keep_every_line_at_its_place(land_files):
    """3 MB: longer than a block that is read and than one that DuckDB parses, with bad lines."""
    rng = random.Random(7)
    lines = [f"{rng.randrange(1, 10**9)}::{n}::{n % 5 + 1}::{T + n}" for n in range(1, 120_001)]
    bad = {5: "", 40_000: "x" * 3 * MAX_LINE_BYTES, 70_000: "y" * 2_500_000, 119_999: "1::2"}
    for number, line in bad.items():
        lines[number - 1] = line
    landed = land_files("ml-1m", "\n".join([*lines, ""]).encode())
    assert landed.rows("SELECT count(*) FROM raw.ratings WHERE source_row <> raw_item_id") == [(0,)]
    assert landed.load.n_ratings == 120_000 - len(bad)
    rejects = landed.rows("SELECT source_row FROM raw.rejects ORDER BY 1")
    assert [row[0] for row in rejects] == sorted(bad)

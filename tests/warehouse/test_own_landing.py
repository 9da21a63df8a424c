"""Own data on the way of all loads: landed, numbered, prepared by its rule, forgotten."""

import hashlib
import json
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warehouse.catalogue import reading
from warehouse.database import statements
from warehouse.described import (
    described_names,
    newest_description,
    numbers_of,
    raw_tables_of,
    rules_of,
)
from warehouse.errors import RefusedError
from warehouse.forgetting import forget, forgotten_users
from warehouse.known import find, newest_load, refuse_unknown
from warehouse.landing import land, load_id_of
from warehouse.own_data.description import Description, Items, Rating
from warehouse.own_data.source_files import source_files
from warehouse.preparing import prepare
from warehouse.publishing import has_load, publish_load, publish_snapshot
from warehouse.staging import audited, staging_folder
from warehouse.stored import OWN, RAW
from warehouse.transforms.rules import MOVIELENS, Rules

ROWS = [
    ("zoe", "tea", "2024-01-01T10:00:00.7Z", 7),
    ("zoe", "milk", "2024-01-01T10:00:00.2Z", 0),
    ("Ann", "tea", "2024-01-02T00:00:00+02:00", 10),
    ("Ann", "tea", "2024-01-03T00:00:00+02:00", 3),
    ("", "tea", "2024-01-03T00:00:00Z", 3),
    ("Ann", "milk", "2024-01-04T00:00:00Z", 11),
]
MINE = Description("mine", "u", "i", "t", rating=Rating("r", 0, 10, 1))


@pytest.fixture
def events(tmp_path) -> Path:
    path = tmp_path / "events.csv"
    lines = [",".join(map(str, row)) for row in ROWS]
    path.write_text("\n".join(["u,i,t,r", *lines]) + "\n")
    return path


def tables(folder: Path, *names: str) -> list[list[tuple]]:
    with duckdb.connect(str(audited(folder)), read_only=True) as connection:
        return [
            connection.execute(
                f"SELECT * EXCLUDE (load_id) FROM raw.{name} ORDER BY ALL"
            ).fetchall()
            for name in names
        ]


def test_ids_get_numbers_in_their_order_and_values_stay(events, tmp_path):
    load = land(MINE, events, tmp_path)
    users, items, ratings, rejects = tables(
        tmp_path, "user_keys", "item_keys", "ratings", "rejects"
    )
    assert users == [(1, "Ann"), (2, "zoe")]
    assert items == [(1, "milk"), (2, "tea")]
    # finer than seconds: Zoe's milk came before her tea, though both are of one second
    assert [row[1:] for row in ratings] == [
        (2, 1, 0.0, 1704103200),
        (2, 2, 7.0, 1704103200),
        (1, 2, 10.0, 1704146400),
        (1, 2, 3.0, 1704232800),
    ]
    assert [(row[0], row[1], row[3]) for row in rejects] == [
        ("events.csv", 5, "user is missing"),
        ("events.csv", 6, "rating 11 is above 10: is `high` right?"),
    ]
    assert (load.n_ratings, load.n_users, load.n_items, load.n_rejects) == (4, 2, 2, 2)
    assert load.rules == Rules("first", (0, 10), 1, own=True, rated=True, named=False)
    assert load.source_sha256 == hashlib.sha256(events.read_bytes()).hexdigest()


def test_whole_seconds_keep_their_rows(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("u,i,t\nb,y,1700000000\na,x,1700000000\n,x,1500000000\na,y,1600000000\n")
    land(Description("mine", "u", "i", "t"), path, tmp_path)
    (ratings,) = tables(tmp_path, "ratings")
    assert ratings == [
        (1, 2, 2, None, 1700000000), (2, 1, 1, None, 1700000000), (4, 1, 2, None, 1600000000),
    ]  # fmt: skip


def test_items_are_named_by_their_file_and_numbered_with_those_of_the_events(events, tmp_path):
    goods = tmp_path / "goods.csv"
    goods.write_text("id,name,kinds\ntea,Green tea,drink;hot\nbread,Rye,\ntea,Black tea,\nmilk,,\n")
    items = Items(goods, "id", "name", "kinds", ";")
    described = Description("mine", "u", "i", "t", rating=MINE.rating, items=items)
    load = land(described, events, tmp_path)
    keys, named, rejects = tables(tmp_path, "item_keys", "items", "rejects")
    assert keys == [(1, "bread"), (2, "milk"), (3, "tea")]
    assert named == [(1, "Rye", ""), (2, None, ""), (3, "Green tea", "drink|hot")]
    assert [row[:2] for row in rejects if row[0] == "goods.csv"] == [("goods.csv", 3)]
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n"
        for name, path in (("events.csv", events), ("items/goods.csv", goods))
    )
    assert load.source_sha256 == hashlib.sha256(sums.encode()).hexdigest()


def test_a_load_is_known_by_bytes_names_and_description(events, tmp_path):
    before = load_id_of(MINE, events)
    assert before == load_id_of(MINE, events)
    others = [
        load_id_of(Description("mine", "u", "i", "t"), events),
        load_id_of(Description("mine", "u", "i", "t", rating=MINE.rating, repeats="all"), events),
        load_id_of(Description("yours", "u", "i", "t", rating=MINE.rating), events),
        load_id_of(MINE, events, ["zoe"]),
    ]
    with events.open("a") as file:
        file.write("zoe,bread,2024-02-01T00:00:00Z,5\n")
    assert len({before, load_id_of(MINE, events), *others}) == 6


def test_a_folder_is_known_by_every_part(tmp_path):
    for name in ("b", "a"):
        pl.DataFrame({"u": [name], "i": ["x"], "t": [1_700_000_000]}).write_parquet(
            tmp_path / f"{name}.parquet"
        )
    described = Description("mine", "u", "i", "t")
    before = source_files(described, tmp_path)
    assert list(before.files) == ["a.parquet", "b.parquet"]
    (tmp_path / "b.parquet").rename(tmp_path / "c.parquet")
    assert source_files(described, tmp_path).sha256 != before.sha256


def test_a_file_that_changes_while_it_is_read_is_refused(events, tmp_path, monkeypatch):
    from warehouse.own_data import landing

    def changed_meanwhile(*words):
        events.write_text("u,i,t,r\nsomebody,else,2024-01-01T00:00:00Z,1\n")
        return read_events(*words)

    read_events = landing.read_events
    monkeypatch.setattr(landing, "read_events", changed_meanwhile)
    with pytest.raises(RefusedError, match="changed while it was read"):
        land(MINE, events, tmp_path)


def test_a_source_of_which_nothing_can_be_taken_is_refused_with_an_example(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("u,i,t\n,x,1700000000\n")
    with pytest.raises(RefusedError, match=r'row 1 is \{"u":.*user is missing'):
        land(Description("mine", "u", "i", "t"), path, tmp_path)


REJECTED_OF_ZOE = "zoe,milk,2024-01-05T00:00:00Z,99"


def test_of_the_forgotten_nothing_is_staged_rejects_neither(events, tmp_path):
    with events.open("a") as file:
        file.write(f"{REJECTED_OF_ZOE}\nzoe,milk\nzoey,milk\n")
    load = land(MINE, events, tmp_path, forgotten=["zoe"])
    users, items, rejects = tables(tmp_path, "user_keys", "item_keys", "rejects")
    assert (users, items) == ([(1, "Ann")], [(1, "tea")])
    assert [row[2] for row in rejects if "zoe" in row[2]] == ["zoey,milk"]
    assert load.n_forgotten == 1
    content = b"".join(path.read_bytes() for path in tmp_path.glob("raw.*/**/*.parquet"))
    assert b"zoe," not in content


@pytest.fixture
def publish_own(home):
    def go(described: Description, source: Path, forgotten=()) -> str:
        with staging_folder(home, "load") as folder:
            load = land(described, source, folder, forgotten=forgotten)
            publish_load(home, folder)
        return load.load_id

    return go


def test_the_catalogue_knows_what_was_described(home, publish_own, events):
    load_id = publish_own(MINE, events)
    assert rules_of(home, load_id) == Rules("first", (0, 10), 1, own=True, named=False)
    assert rules_of(home, "another") == MOVIELENS
    assert described_names(home) == ["mine"]
    found = newest_description(home, "mine")
    assert found is not None
    assert (found[:2], json.loads(found[2])["user"]) == ((load_id, "events.csv"), "u")
    assert numbers_of(home, load_id, ["zoe", "Ann", "nobody"]) == {"Ann": 1, "zoe": 2}
    assert has_load(home, load_id)
    with reading(home) as connection:
        assert raw_tables_of(connection, load_id) == (*RAW, *OWN)
        assert raw_tables_of(connection, "another") == RAW
    assert newest_load(home, "mine") == load_id


def test_a_load_without_its_numbers_is_not_whole(home, publish_own, events):
    from warehouse.standing import standing

    load_id = publish_own(MINE, events)
    assert load_id in standing(home, "mine").loads
    (path,) = home.store.glob("raw.user_keys/*/*")
    path.unlink()
    assert load_id not in standing(home, "mine").loads


def test_a_person_is_forgotten_by_id_though_numbers_change(home, publish_own, events):
    first = publish_own(MINE, events)
    gone = forget(home, "mine", "Ann")
    assert gone.loads == [first]
    assert forgotten_users(home, "mine") == {"Ann"}
    second = publish_own(MINE, events, forgotten_users(home, "mine"))
    assert numbers_of(home, second, ["Ann", "zoe"]) == {"zoe": 1}  # she was 2
    assert forget(home, "mine", "Ann").loads == []
    with pytest.raises(RefusedError, match="User bob is in no load of mine"):
        forget(home, "mine", "bob")


@pytest.mark.parametrize("line", [REJECTED_OF_ZOE, "zoe,milk"], ids=["read", "not read"])
def test_whose_only_row_was_rejected_is_forgotten_too(line, home, publish_own, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(f"u,i,t,r\nAnn,tea,2024-01-01T00:00:00Z,1\n{line}\n")
    load_id = publish_own(MINE, path)
    with pytest.raises(RefusedError):
        forget(home, "mine", "zo")
    assert forget(home, "mine", "zoe").loads == [load_id]


def test_an_item_with_the_id_of_a_forgotten_user_is_nobody(home, publish_own, events):
    goods = events.with_name("goods.csv")
    goods.write_text("id,name\nAnn,a\nAnn,b\n")  # the second is rejected
    described = Description("mine", "u", "i", "t", items=Items(goods, "id", "name", None))
    publish_own(described, events)
    forget(home, "mine", "Ann")
    publish_own(described, events, forgotten_users(home, "mine"))
    assert forget(home, "mine", "Ann").loads == []


AGAIN = "abcabca"  # what one user took, in order; of these a, b, c
KEPT = {"first": "abc", "last": "bca", "all": AGAIN}


@pytest.mark.parametrize("repeats", list(KEPT))
def test_repeats_are_kept_as_the_description_says(repeats, home, publish_own, tmp_path):
    path = tmp_path / "events.csv"
    rows = [f"u,{item},{1_700_000_000 + place}" for place, item in enumerate(AGAIN)]
    others = [f"v,{item},{1_700_000_000 + place}" for place, item in enumerate("abcd")]
    path.write_text("\n".join(["u,i,t", *rows, *others]) + "\n")
    load_id = publish_own(Description("mine", "u", "i", "t", repeats=repeats), path)
    with staging_folder(home, "snapshot") as folder:
        snapshot = prepare(home, load_id, "cold-start", folder)
        publish_snapshot(home, snapshot, folder)
    with reading(home) as connection:
        rows = connection.execute(
            "SELECT string_agg(item_key, '' ORDER BY position), count(rating), max(split)"
            " FROM core.interactions JOIN core.items USING (snapshot_id, item_id)"
            " JOIN core.users AS users USING (snapshot_id, user_id)"
            " JOIN raw.item_keys USING (raw_item_id) JOIN raw.user_keys AS keys"
            " ON keys.raw_user_id = users.raw_user_id WHERE user_key = 'u'"
        ).fetchall()
        drawn = connection.execute(
            "SELECT split, list_sort(item_ids) FROM core.candidates WHERE user_id = 1 ORDER BY ALL"
        ).fetchall()
        (told,) = connection.execute("SELECT repeats FROM core.snapshots").fetchall()
        popular = connection.execute(
            "SELECT DISTINCT n_users FROM mart.popularity_metrics"
        ).fetchall()
    assert rows == [(KEPT[repeats], 0, "valid")]
    assert told == (repeats,)
    # items a to d are 1 to 4; with `all` any but the held-out one, c and then a
    new = {"first": [4], "last": [4]}.get(repeats)
    assert drawn == [("test", new or [2, 3, 4]), ("valid", new or [1, 2, 4])]
    assert popular == [(2,)]
    sequences = pl.read_parquet(snapshot.sequences)
    assert sequences["ratings"].explode().unique().to_list() == [0]


def test_a_name_is_of_what_is_known_described_or_landed(home, publish_own, events):
    with pytest.raises(RefusedError, match=r"Unknown data set: got 'mine', and no mine\.toml"):
        refuse_unknown(home, "mine", events)
    (events.parent / "mine.toml").write_text('user = "u"\nitem = "i"\ntime = "t"\n')
    assert find(home, "mine", events) == Description("mine", "u", "i", "t")
    with pytest.raises(RefusedError, match="Unknown data set"):
        refuse_unknown(home, "mine", None)
    (home.root / "datasets").mkdir()
    (events.parent / "mine.toml").rename(home.root / "datasets" / "mine.toml")
    with pytest.raises(RefusedError, match="mine was never landed in this home"):
        refuse_unknown(home, "mine", None)
    publish_own(MINE, events)
    (home.root / "datasets" / "mine.toml").unlink()
    refuse_unknown(home, "mine", None)  # what is landed needs neither
    refuse_unknown(home, "ml-1m", events)
    with pytest.raises(RefusedError, match=r"gone can't be read: got No such file"):
        refuse_unknown(home, "ml-1m", events.parent / "gone")
    with pytest.raises(RefusedError, match="is not a file: got a folder"):
        refuse_unknown(home, "ml-1m", events.parent)
    (home.root / "datasets" / "mine.toml").write_text('user = "u"\nitem = "i"\ntime = "t"\n')
    with pytest.raises(RefusedError, match=r"gone can't be read: got No such file"):
        refuse_unknown(home, "mine", events.parent / "gone")
    (events.parent / "ml-1m.toml").write_text("")
    with pytest.raises(RefusedError, match="ml-1m is the name of a data set that is known"):
        refuse_unknown(home, "ml-1m", events)


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@settings(deadline=None, max_examples=50)
@given(key=TEXTS, other=TEXTS)
def test_a_row_says_whose_it_is_whatever_the_id(key, other):
    """As `reading.py` writes the line of a rejected row: JSON, the user first."""
    line = json.dumps({"who": key, "what": other}, ensure_ascii=False, separators=(",", ":"))
    with duckdb.connect() as connection:
        connection.execute(statements("own_landing/may_name"))
        ask = "SELECT own_may_name(?, ?), own_may_name(?, ?), own_may_name(?, ?)"
        nobody = '{"who":null,"what":"x"}'
        found = connection.execute(ask, [line, key, line, other, nobody, key]).fetchall()
    assert found == [(True, other in (key, key.removesuffix(".0")), False)]


@pytest.mark.parametrize(
    ("line", "key", "may"),
    [
        ("zoe,milk", "zoe", True),
        ("zoey,milk", "zoe", False),
        ("1,milk", "zoe", False),
        ("a.c;1", "a.c", True),
        ("abc;1", "a.c", False),
        ('{"who":"7.0","what":"x"}', "7", True),
    ],
)
def test_a_line_that_is_no_row_may_be_of_whom_it_names(line, key, may):
    with duckdb.connect() as connection:
        connection.execute(statements("own_landing/may_name"))
        found = connection.execute("SELECT own_may_name(?, ?)", [line, key]).fetchall()
    assert found == [(may,)]

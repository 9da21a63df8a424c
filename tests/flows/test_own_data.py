"""Three unlike data sets of one's own through the command line, and what is refused of others."""

import json
import random
import re
import shutil
import sqlite3
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from urllib.parse import unquote

import duckdb
import numpy as np
import polars as pl
import pytest
import torch
from filelock import FileLock

from flows.parameters import Experiment, experiment
from flows.plan import plan
from flows.unfit import refuse_unfit
from fpt_model.training.ranking import rank_run
from tasks.trainings import Training
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.preparing import known_snapshot

N_USERS, N_ITEMS = 30, 24
START = datetime(2024, 3, 1, tzinfo=UTC)


def walks(*, again: bool) -> list[tuple[int, int, datetime]]:
    """Users go round the items, an hour apart; with `again` they come back to the first two."""
    rows = []
    for user in range(N_USERS):
        rng = random.Random(user)
        first = rng.randrange(N_ITEMS)
        items = [(first + step) % N_ITEMS for step in range(8 + user % 4)]
        items = [*items[:4], *items[:2], *items[4:], items[0]] if again else items
        rows += [
            (user, item, START + timedelta(days=user, hours=n)) for n, item in enumerate(items)
        ]
    return rows


def shop(folder: Path) -> Path:
    """Texts as ids, ISO times with zones, ratings of 0 to 100, and titles: a CSV."""
    rows = []
    for user, item, moment in walks(again=False):
        zone = timezone(timedelta(hours=(user % 5) - 2))
        rows.append(
            f'"user, {user:02}",item-{item},{moment.astimezone(zone).isoformat()},{item % 6 * 20}'
        )
    path = folder / "orders.csv"
    path.write_text("\n".join(["buyer,article,at,mark", *rows]) + "\n")
    titles = [f"item-{item},Article {item},tools;small" for item in range(N_ITEMS - 1)]
    (folder / "articles.csv").write_text("\n".join(["id,name,kinds", *titles]) + "\n")
    (folder / "shop.toml").write_text(
        'user = "buyer"\nitem = "article"\ntime = "at"\n'
        '[rating]\ncolumn = "mark"\nlow = 0\nhigh = 100\nstep = 20\n'
        '[items]\nfile = "articles.csv"\nitem = "id"\ntitle = "name"\ncategories = "kinds"\n'
        'category_separator = ";"\n'
    )
    return path


def plays(folder: Path) -> Path:
    """What was played, again and again, without ratings: a folder of Parquet parts."""
    parts = folder / "plays"
    parts.mkdir()
    rows = walks(again=True)
    for number in range(3):
        some = [row for row in rows if row[0] % 3 == number]
        frame = pl.DataFrame(some, ["listener", "track", "played"], orient="row")
        frame.write_parquet(parts / f"part-{number}.parquet")
    (folder / "listening.toml").write_text(
        'user = "listener"\nitem = "track"\ntime = "played"\nrepeats = "all"\n'
    )
    return parts


BIG = 9_007_199_254_740_993  # a float would make it even


def clicks(folder: Path) -> Path:
    """Ids of 64 bits, no titles, no ratings: a table of a SQLite file."""
    path = folder / "clicks.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE clicks (visitor INTEGER, page INTEGER, ms INTEGER)")
        database.execute("CREATE TABLE other (x INTEGER)")
        database.executemany(
            "INSERT INTO clicks VALUES (?, ?, ?)",
            [
                (BIG + user, -BIG - item, int(moment.timestamp() * 1000))
                for user, item, moment in walks(again=True)
            ],
        )
    database.close()
    (folder / "web.toml").write_text(
        'table = "clicks"\nuser = "visitor"\nitem = "page"\ntime = "ms"\n'
        'time_unit = "milliseconds"\nrepeats = "last"\n'
    )
    return path


@pytest.fixture(scope="module")
def landed(fpt, shared, copy_home, lasting, tmp_path_factory):
    """A home with a training of each, and the folder of their sources."""
    home, folder = shared / "own-home", shared / "own-data"
    with FileLock(shared / "own.lock"):
        if not folder.exists():
            mine = tmp_path_factory.mktemp("mine")
            make_ready(partial(fpt, told=lasting), home, mine).rename(folder)
    mine = tmp_path_factory.mktemp("landed")
    return copy_home(home, mine / "home"), Path(shutil.copytree(folder, mine / "data"))


def make_ready(fpt, home: Path, folder: Path) -> Path:
    for name, make, model in (
        ("shop", shop, "ridge"),
        ("listening", plays, "markov_chain"),
        ("web", clicks, "recent_popularity"),
    ):
        done = fpt("run", "--dataset", name, "--source", make(folder), "--model", model, home=home)
        assert done.code == 0, done.err
    return folder


@pytest.fixture
def copy(landed, tmp_path, copy_home):
    return copy_home(landed[0], tmp_path / "home")


def asked(home: Path, query: str) -> list[tuple]:
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.mark.slow
def test_all_three_are_landed_prepared_trained_and_on_the_leaderboard(landed):
    home, _ = landed
    found = asked(home, "SELECT dataset, model, full_ndcg_10 > 0 FROM leaderboard ORDER BY ALL")
    assert found == [
        ("listening", "Markov chain", True),
        ("listening", "popularity", True),
        ("shop", "Ridge", True),
        ("shop", "popularity", True),
        ("web", "Recent popularity", True),
        ("web", "popularity", True),
    ]
    rules = "SELECT dataset, repeats, rating_low, rating_high FROM raw.descriptions"
    assert asked(home, f"{rules} JOIN raw.loads USING (load_id) ORDER BY ALL") == [
        ("listening", "all", None, None),
        ("shop", "first", 0.0, 100.0),
        ("web", "last", None, None),
    ]
    lost = "SELECT count(*) FROM raw.rejects"
    assert asked(home, lost) == [(0,)]
    # the file's own value in SQL, the models' on their scale
    ratings = "SELECT DISTINCT rating FROM raw.ratings WHERE rating IS NOT NULL ORDER BY ALL"
    assert asked(home, ratings) == [(float(mark),) for mark in range(0, 101, 20)]
    snapshots = dict(
        asked(
            home, "SELECT dataset, snapshot_id FROM core.snapshots JOIN raw.loads USING (load_id)"
        )
    )
    stars = {
        name: set(
            pl.read_parquet(home / "sequences" / f"sequences-{identity}.parquet")["ratings"]
            .explode()
            .to_list()
        )
        for name, identity in snapshots.items()
    }
    assert stars == {"shop": {1, 3, 5, 6, 8, 10}, "listening": {0}, "web": {0}}


@pytest.mark.slow
def test_repeats_are_first_all_and_last(landed):
    home, _ = landed
    kept = dict(
        asked(
            home,
            "SELECT dataset, (n_interactions, n_duplicates) FROM core.snapshots "
            "JOIN raw.loads USING (load_id)",
        )
    )
    rows, once = len(walks(again=True)), len(walks(again=False))
    assert kept == {"shop": (once, 0), "listening": (rows, 0), "web": (once, rows - once)}
    # every user ends with the first item, had before: with `all` everybody's test item is a repeat
    told = (
        "SELECT unexpected_count FROM mart.validation_results"
        " WHERE expectation = 'held-out item new to its user'"
    )
    assert asked(home, told) == [(N_USERS,)]
    counts = (
        "SELECT DISTINCT dataset, min(n_candidates), max(n_candidates), min(lineage.dataset)"
        " FROM mart.user_ranks JOIN mart.lineage AS lineage USING (run_id)"
        " WHERE protocol = 'full' GROUP BY ALL ORDER BY ALL"
    )
    ranked = {name: (low, high) for name, low, high, _ in asked(home, counts)}
    assert ranked["listening"] == (N_ITEMS, N_ITEMS)  # everything may come again
    assert ranked["shop"] == (N_ITEMS - 11 + 1, N_ITEMS - 8 + 1)


@pytest.mark.slow
def test_people_are_asked_about_by_their_own_ids(landed, fpt):
    home, _ = landed
    told = json.loads(
        fpt(
            "recommend", "--dataset", "shop", "--user", "user, 07", "--top", 2, "--json", home=home
        ).out
    )
    assert [(row["user"], row["rank"]) for row in told] == [("user, 07", 1), ("user, 07", 2)]
    assert told[0]["item"] == "item-" + told[0]["title"].removeprefix("Article ")
    assert told[0]["categories"] == "tools|small"
    unknown = fpt("recommend", "--dataset", "shop", "--user", "7", home=home)
    assert unknown.code == 2
    assert "User 7 is not in shop: expected ids as the source writes them" in unknown.err

    web = ("recommend", "--dataset", "web", "--user", BIG + 3, "--top", 1, "--json")
    (first,) = json.loads(fpt(*web, home=home).out)
    assert first["user"] == str(BIG + 3)
    assert first["item"] == first["title"]
    assert int(first["item"]) <= -BIG
    after = ("recommend", "--dataset", "web", "--history", f"{-BIG},{-BIG - 1}", "--json")
    assert len(json.loads(fpt(*after, home=home).out)) == 10

    again = ("recommend", "--dataset", "listening", "--user", 4, "--top", N_ITEMS, "--json")
    items = {int(row["item"]) for row in json.loads(fpt(*again, home=home).out)}
    assert items == set(range(N_ITEMS))  # what was heard may be heard again


@pytest.mark.slow
def test_published_recommendations_have_own_ids_in_sql(copy, fpt):
    done = fpt("recommend", "--dataset", "listening", "--all", "--top", 3, home=copy)
    assert done.code == 0, done.err
    users = asked(copy, "SELECT DISTINCT user_key FROM recommendations ORDER BY user_key::INT")
    assert users == [(str(user),) for user in range(N_USERS)]
    rows = json.loads(fpt("sql", "recommendations", "user=7", "--json", home=copy).out)
    assert [(row["user"], row["rank"]) for row in rows] == [("7", 1), ("7", 2), ("7", 3)]
    assert {row["title"] for row in rows} <= {str(item) for item in range(N_ITEMS)}


@pytest.mark.slow
def test_without_its_source_a_landed_data_set_goes_on(copy, landed, fpt):
    _, folder = landed
    away = folder.with_name(f"{folder.name}-away")
    shutil.move(folder, away)
    try:
        planned = json.loads(
            fpt("plan", "--dataset", "web", "--model", "ridge", "--json", home=copy).out
        )
        assert [row["state"] for row in planned] == ["done", "done", "to do", "to do"]
        again = fpt("run", "--dataset", "web", "--model", "recent_popularity", home=copy)
        assert again.code == 0, again.err
        assert "nothing to do" in again.err
        kept, restored = copy.parent / "kept.tar", copy.parent / "restored"
        assert fpt("backup", kept, home=copy).code == 0
        assert fpt("restore", kept, home=restored).code == 0
        told = fpt("recommend", "--dataset", "shop", "--user", "user, 01", "--json", home=restored)
        assert json.loads(told.out)[0]["user"] == "user, 01"
        assert asked(restored, "SELECT count(*) FROM raw.user_keys") == [(3 * N_USERS,)]
    finally:
        shutil.move(away, folder)


@pytest.mark.slow
def test_one_is_forgotten_by_ones_own_id_and_stays_out(copy, landed, lasting, fpt):
    _, folder = landed
    words = ("forget", "--dataset", "shop", "--user", "user, 07", "--json")
    unsure = fpt(*words, home=copy)
    assert unsure.code == 2
    assert "the rows of 29 other users go too" in unsure.err
    assert "orders.csv" in unsure.err
    gone = fpt(*words, "--yes", home=copy)
    assert [row["what"] for row in json.loads(gone.out)] == [
        "1 load", "1 snapshot", "1 training", "to make again",
    ]  # fmt: skip
    assert "--dataset shop --source orders.csv" in json.loads(gone.out)[-1]["command"]
    left = [path for path in copy.rglob("*") if path.is_file() and b"user, 07" in path.read_bytes()]
    assert {path.suffix for path in left} <= {".duckdb"}  # raw.forgotten remembers whom
    source = folder / "orders.csv"
    again = fpt("ingest", "--dataset", "shop", "--source", source, home=copy, told=lasting)
    assert again.code == 0, again.err
    keys = asked(copy, "SELECT user_key FROM raw.user_keys JOIN raw.loads USING (load_id)"
                       " WHERE dataset = 'shop'")  # fmt: skip
    assert len(keys) == N_USERS - 1
    assert ("user, 07",) not in keys
    twice = fpt(*words, home=copy)
    assert twice.code == 0
    pruned = fpt("prune", "--keep", "0", "--older-than", "0d", "--yes", home=copy)
    assert pruned.code == 0, pruned.err
    assert asked(copy, "SELECT count(*) FROM raw.descriptions") == [(0,)]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "There are no ratings to learn from"),
        ({"rating_width": 0}, "items that a user has had must stay candidates"),
        ({"rating_width": 0, "exclude_seen": False}, ""),
        (
            {"rating_width": 0, "exclude_seen": False, "genre_width": 8},
            "There are no genres to learn from: got genre_width=8, expected genre_width=0",
        ),
    ],
)
@pytest.mark.slow
def test_settings_that_the_data_can_not_have_are_refused(settings, says, landed):
    place = Home.existing(landed[0])
    query = "SELECT snapshot_id FROM core.snapshots WHERE repeats = 'all'"
    snapshot = known_snapshot(place, asked(landed[0], query)[0][0])
    asked_for = Experiment(models=["sasrec"], preset="best", settings=settings)
    wanted = [Training(snapshot, *one) for one in asked_for.trainings_on(snapshot.retention)]
    with pytest.raises(RefusedError, match=says) if says else nullcontext():
        refuse_unfit(place, wanted)


def write(folder: Path, name: str = "mine", *, more: str = "", user: str = "u") -> Path:
    (folder / f"{name}.toml").write_text(f'user = "{user}"\nitem = "i"\ntime = "t"\n{more}')
    path = folder / "events.csv"
    path.write_text("u,i,t\n1,2,2024-01-01T00:00:00Z\n,2,2024-01-01T00:00:00Z\n")
    return path


@pytest.mark.parametrize(
    ("name", "more", "user", "says"),
    [
        ("ml-1m", "", "u", "ml-1m is the name of a data set that is known already"),
        ("mine", "", "who", "has no column who"),
        ("mine", 'time_unit = "fortnights"', "u", "`time_unit` can't be so: got 'fortnights'"),
        ("mine", "table = 3", "u", "`table` is of the wrong type"),
        ("yours", "", "u", "ml-32m, or own data that"),
    ],
    ids=["a known name", "an unknown column", "a unit that is none", "a wrong type", "its own"],
)
def test_a_wrong_description_is_refused_before_anything_runs(name, more, user, says, tmp_path):
    source = write(tmp_path, name, more=more, user=user)
    asked_for = "mine" if name == "yours" else name
    given = {"dataset": asked_for, "source": source, "home": tmp_path / "home"}
    with pytest.raises(RefusedError, match=re.escape(says)):
        plan(experiment(given))
    assert not (tmp_path / "home").exists()


def test_a_name_that_nobody_knows_is_told_what_would_make_it_known(fpt, tmp_path):
    source = write(tmp_path)
    refused = fpt("run", "--dataset", "yours", "--source", source, home=tmp_path / "home")
    assert refused.code == 2
    told = " ".join(refused.err.split())
    for words in (f"no yours.toml in {tmp_path}/home/datasets or {tmp_path}", "fpt describe"):
        assert words in told
    assert not (tmp_path / "home").exists()


def test_a_description_in_the_home_serves_without_one_beside_the_source(tmp_path):
    source, home = write(tmp_path), tmp_path / "home"
    (home / "datasets").mkdir(parents=True)
    (tmp_path / "mine.toml").rename(home / "datasets" / "mine.toml")
    asked_for = experiment({"dataset": "mine", "source": source, "home": home})
    assert plan(asked_for)[0]["what"] == "mine from events.csv"
    (tmp_path / "mine.toml").write_text('user = "u"\nitem = "i"\ntime = "t"\nrepeats = "last"\n')
    with pytest.raises(RefusedError, match="mine is described twice"):
        plan(asked_for)
    (tmp_path / "mine.toml").unlink()
    with pytest.raises(RefusedError, match="mine was never landed in this home"):
        plan(experiment({"dataset": "mine", "home": home}))


def keys(home: Path, kind: str, snapshot_id: str) -> dict[int, str]:
    rows = asked(
        home,
        f"SELECT {kind}_id, {kind}_key FROM core.{kind}s JOIN core.snapshots USING (snapshot_id) "
        f"JOIN raw.{kind}_keys USING (load_id, raw_{kind}_id) WHERE snapshot_id = '{snapshot_id}'",
    )
    return dict(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shop", "listening", "web"])
def test_scores_come_back_by_own_ids_as_our_own_ranks(name, copy, fpt, lasting, tmp_path):
    query = f"SELECT run_id, snapshot_id FROM runs WHERE dataset = '{name}'"
    ((run_id, snapshot_id),) = asked(copy, query)
    path = copy / "sequences" / f"sequences-{snapshot_id}.parquet"
    scores = tmp_path / "scores.npy"
    rank_run(path, copy / "runs" / run_id, tmp_path / "ranks", torch.device("cpu"), scores)
    users, items = (keys(copy, kind, snapshot_id) for kind in ("user", "item"))
    frame = pl.DataFrame(
        [
            (users[user], items[item], float(score))
            for user, row in enumerate(np.load(scores), start=1)
            for item, score in enumerate(row[1:], start=1)
            if not np.isnan(score)
        ],
        ("user", "item", "score"),
        orient="row",
    )
    if name == "web":  # its ids are numbers, and may be given as such
        frame = frame.with_columns(pl.col("user", "item").cast(pl.Int64))
    frame.write_parquet(tmp_path / "scores.parquet")
    words = ("--name", "theirs", "--dataset", name, "--json")
    done = fpt("import-scores", tmp_path / "scores.parquet", *words, home=copy, told=lasting)
    assert done.code == 0, done.err
    imported = done.rows[0]["run_id"]
    same = asked(
        copy,
        "SELECT count(*), count(*) FILTER (a.rank = b.rank AND a.n_candidates = b.n_candidates) "
        "FROM mart.user_ranks AS a JOIN mart.user_ranks AS b USING (split, protocol, user_id) "
        f"WHERE a.run_id = '{imported}' AND b.run_id = '{run_id}' AND split = 'test'",
    )
    assert same[0][0] == same[0][1] == 2 * len(users)

    done = fpt("export-ranks", "--run", imported, "--output", tmp_path / "trec", home=copy)
    assert done.code == 0, done.err
    lines = (tmp_path / "trec" / "qrels.trec").read_text().splitlines()
    assert {unquote(line.split()[0]) for line in lines} == set(users.values())

    frame = frame.with_columns(user=pl.lit("nobody")) if name == "shop" else frame.head(0)
    frame.write_parquet(tmp_path / "scores.parquet")
    done = fpt("import-scores", tmp_path / "scores.parquet", *words, home=copy, told=lasting)
    assert done.code == 2
    said = "users that the data set has not" if name == "shop" else "has no rows"
    assert said in done.err

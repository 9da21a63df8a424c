"""A lake whose files are in an object store: homes have copies, others ask the objects."""

import importlib.util
import os
import shutil
from pathlib import Path

import pytest

from warehouse import pruning
from warehouse.backup import backup, restore
from warehouse.catalogue import fetch_all
from warehouse.errors import RefusedError, StepError
from warehouse.expiry import Rule
from warehouse.forgetting import forget
from warehouse.home import Home
from warehouse.keeping import keep_whole
from warehouse.lake import attached as attached_by
from warehouse.lake import objects, past
from warehouse.lake.attached import attached
from warehouse.publishing import publish_load
from warehouse.shared_store import open_store
from warehouse.staging import staging_folder
from warehouse.withdrawing import notes

SERVER = Path(__file__).parents[2] / "store_server.py"
spec = importlib.util.spec_from_file_location("store_server", SERVER)
store_server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(store_server)

LOADS = "SELECT load_id FROM raw.loads ORDER BY ALL"
ITEMS = "SELECT load_id, count(*) FROM raw.items GROUP BY ALL ORDER BY ALL"


@pytest.fixture(scope="module")
def server():
    with store_server.serving() as running:
        yield running


@pytest.fixture
def as_user(server, monkeypatch):
    def be(user: str) -> None:
        attached_by.let_go()  # it has the keys that were there when it was opened
        for name, value in server.environment(user).items():
            monkeypatch.setenv(name, value)

    be("writer")
    yield be
    attached_by.let_go()


@pytest.fixture
def url(lakes, as_user, tmp_path, monkeypatch) -> str:
    url = lakes.new_url(tmp_path / "unused")
    place = f"s3://{store_server.BUCKET}/{tmp_path.name}"
    url = url.replace(str(tmp_path / "unused"), place)
    monkeypatch.setenv("FPT_WAREHOUSE", url)
    return url


@pytest.fixture
def kept(home):
    """The objects of the lake."""
    return lambda: sorted(open_store(home.lake.data, print).changed("store"))


def test_what_one_home_publishes_others_have_copies_of_and_the_lake_reads(
    home, other, publish, lake, kept
):
    publish(home, "first")
    publish(other, "second")
    for one in (home, other):
        assert fetch_all(one, ITEMS) == [("first", 2), ("second", 2)]
        files = (str(path.relative_to(one.root)) for path in one.store.rglob("*.parquet"))
        assert sorted(files) == kept()
    assert lake(ITEMS) == [("first", 2), ("second", 2)]
    shutil.rmtree(other.store)
    assert list(keep_whole(other)) == []
    assert fetch_all(other, ITEMS) == [("first", 2), ("second", 2)]


def test_a_copy_that_is_damaged_comes_anew_and_a_damaged_object_is_refused(home, publish, kept):
    publish(home, "first")
    (copy,) = home.store.rglob("*.parquet")
    good = copy.read_bytes()
    copy.chmod(0o640)
    copy.write_bytes(good[:50] + b"x" + good[51:])
    assert list(keep_whole(home, whole=True)) == []
    assert copy.read_bytes() == good
    copy.unlink()
    store, (name,) = open_store(home.lake.data, print), kept()
    (home.root / "bad").write_bytes(good[:50] + b"x" + good[51:])
    store.put_at(name, home.root / "bad")
    with pytest.raises(RefusedError, match="An object of the store is damaged"):
        list(keep_whole(home))
    assert fetch_all(home, LOADS) == [("first",)]


def test_what_is_forgotten_leaves_the_store_and_all_copies(
    home, other, published_snapshot, publish, kept
):
    publish(other, "kept")
    assert fetch_all(home, LOADS) == [("kept",), ("load",)]
    assert len(kept()) > 5
    forget(home, "ml-1m", 4)
    assert fetch_all(other, LOADS) == [("kept",)]
    assert [name.split("/")[2] for name in kept()] == ["load_id=kept"]
    for one in (home, other):
        paths = [path.parent.name for path in one.store.rglob("*.parquet")]
        assert paths == ["load_id=kept"]


def test_objects_of_a_load_with_a_forgotten_person_go_when_it_is_refused(
    home, other, published_snapshot, stage_raw, kept, monkeypatch
):
    monkeypatch.setattr("warehouse.lake.elsewhere.others_live", lambda *_: True)
    assert fetch_all(other, LOADS) == [("load",)]
    forget(home, "ml-1m", 4)
    with staging_folder(other, "test") as folder:
        stage_raw(folder, "new", [(user, item, item) for user in (1, 4) for item in (1, 2, 3)])
        with pytest.raises(RefusedError, match="withdrew meanwhile"):
            publish_load(other, folder)
    assert kept() == []


def test_what_may_not_be_deleted_is_said(home, published_snapshot, as_user, monkeypatch):
    monkeypatch.setattr("warehouse.lake.upstream.drop_past", lambda *_, **__: as_user("reader"))
    with pytest.raises(RefusedError, match="The store refuses"):
        forget(home, "ml-1m", 4)
    assert notes(home, "forgetting")


def test_what_is_pruned_at_once_and_what_dead_writers_left_goes(
    home, publish, kept, monkeypatch, tmp_path
):
    publish(home, "first")
    rule = Rule(keep=0)
    pruning.prune(home, rule, pruning.would_go(home, rule), at_once=True)
    assert kept() == []
    publish(home, "second")
    (tmp_path / "stray").write_bytes(b"PAR1")
    store = open_store(home.lake.data, print)
    store.put_at("store/raw.items/load_id=dead/x.parquet", tmp_path / "stray")
    past.expire(home.lake, 7, ())
    assert len(kept()) == 2  # a living writer may have put it there
    monkeypatch.setattr(objects, "GRACE_SECONDS", -60.0)
    past.expire(home.lake, 7, ())
    assert [name.split("/")[2] for name in kept()] == ["load_id=second"]
    assert fetch_all(home, ITEMS) == [("second", 2)]


def test_a_backup_goes_into_a_store_and_out_of_it(home, publish, lakes, tmp_path, monkeypatch):
    publish(home, "first")
    backup(home, tmp_path / "kept.tar")
    url = lakes.new_url(tmp_path / "unused")
    place = f"s3://{store_server.BUCKET}/{tmp_path.name}-new"
    monkeypatch.setenv("FPT_WAREHOUSE", url.replace(str(tmp_path / "unused"), place))
    restore(Home.at(tmp_path / "new"), tmp_path / "kept.tar")
    assert fetch_all(Home.at(tmp_path / "joined"), ITEMS) == [("first", 2)]


def test_refusals_are_one_line_without_any_secret(home, other, publish, as_user, server):
    publish(home, "first")
    secrets = {user["AWS_SECRET_ACCESS_KEY"] for user in server.users.values()}
    said = []
    for user, do in (
        ("reader", lambda: publish(home, "second")),
        ("stranger", lambda: fetch_all(other, LOADS)),
    ):
        as_user(user)
        with pytest.raises(RefusedError, match="The store refuses") as caught:
            do()
        said.append(str(caught.value))
    as_user("writer")
    with attached(home.lake) as connection:
        for query in ("FROM duckdb_secrets()", "FROM duckdb_databases()"):
            said.append(str(connection.execute(query).fetchall()))
    assert not [word for word in secrets if word in "".join(said)]
    assert fetch_all(other, LOADS) == [("first",)]


def test_without_keys_or_while_the_store_is_away_it_says_so(
    home, other, publish, as_user, server, monkeypatch
):
    publish(home, "first")
    monkeypatch.setattr(objects, "AWAY_SECONDS", 0.5)
    server.door.shut()
    try:
        with pytest.raises(StepError, match="did not answer"):
            fetch_all(other, LOADS)
    finally:
        server.door.open()
    assert fetch_all(other, LOADS) == [("first",)]
    attached_by.let_go()
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(RefusedError, match="SecretAccessKey"):
        publish(home, "second")
    assert os.environ["AWS_ACCESS_KEY_ID"]

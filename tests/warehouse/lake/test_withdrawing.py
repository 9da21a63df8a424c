"""What is forgotten or pruned leaves the lake, PostgreSQL and every home, and stays away."""

import re
import secrets
import signal
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from warehouse import forgetting, pruning
from warehouse.catalogue import fetch_all, writing
from warehouse.errors import InUseError, RefusedError, StepError
from warehouse.expiry import Rule
from warehouse.following import newest
from warehouse.forgetting import forget
from warehouse.home import Home
from warehouse.kept_catalogues import catalogues
from warehouse.lake import past, server
from warehouse.lake.address import parsed
from warehouse.lake.attached import attached
from warehouse.lake.elsewhere import carry_out
from warehouse.lake.tables import wanted
from warehouse.locks import waiting
from warehouse.publishing import publish_load, publish_runs, store_outcomes
from warehouse.staging import stage_frame, staging_folder
from warehouse.store import list_files, place_all

PERSON = 4
LOADS = "SELECT load_id FROM raw.loads ORDER BY ALL"
STATS = "SELECT min_value, max_value FROM {}.ducklake_table_column_stats"
FORGET = """
from warehouse.forgetting import forget
forget(Home.at(sys.argv[1]), "ml-1m", int(sys.argv[2]))
"""
PRUNE = """
from warehouse import pruning
from warehouse.expiry import Rule
home, rule = Home.at(sys.argv[1]), Rule(keep=0)
pruning.prune(home, rule, pruning.would_go(home, rule), at_once=True)
"""


@pytest.fixture
def secret() -> str:
    """Of this test alone: the others have lakes in the same PostgreSQL."""
    return f"line-of-{secrets.token_hex(8)}"


def publish_secret(home: Home, load: str, secret: str, user: int = PERSON) -> None:
    """A load with one user, whose words are in a rejected line and in the sample of an audit."""
    frames = {
        "raw.ratings": pl.DataFrame({
            "source_row": [1], "raw_user_id": [user], "raw_item_id": [1],
            "rating": [4.0], "timestamp": [1],
        }),
        "raw.rejects": pl.DataFrame({
            "member": ["ratings.dat"], "source_row": [2], "line": [f"{user}::{secret}"],
            "reason": ["unreadable"],
        }),
    }  # fmt: skip
    with staging_folder(home, "test") as folder:
        for table, frame in frames.items():
            stage_frame(folder, table, load, frame)
        files = place_all(home, folder)
    row = [load, "ml-1m", "a.zip", "abc", True, datetime(2026, 1, 1), 1, 1, 1]
    with writing(home) as connection:
        connection.execute(
            "INSERT INTO raw.loads SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, publication "
            "FROM mart.catalogue",
            row,
        )
        list_files(connection, home, files)
    outcome = dict.fromkeys(("observed", "unexpected_count", "name"))
    outcome |= {"table_name": "raw.ratings", "expectation": "x", "severity": "warning"}
    outcome |= {"success": False, "sample": [{"said": secret}], "reason": "y"}
    store_outcomes(home, [outcome], load_id=load)


STATISTICS = ("2619", "2840")  # PostgreSQL's own; a user's tables can be vacuumed, not these


def holding(secret: str, lakes, *homes: Home) -> list[str]:
    """Where the secret stands: files of homes and of the lake, PostgreSQL's own."""
    lakes.sql("CHECKPOINT")
    places = [*(home.root for home in homes), homes[0].files, lakes.folder / "data" / "base"]
    return [
        str(path)
        for place in places
        for path in place.rglob("*")
        if path.is_file() and path.name not in STATISTICS and secret.encode() in path.read_bytes()
    ]


def test_nothing_of_a_person_is_left_anywhere(home, other, lakes, lake, secret):
    publish_secret(home, "with", secret)
    publish_secret(home, "another", "zzz")
    with writing(home) as connection:
        connection.execute("UPDATE raw.loads SET dataset = 'ml-100k' WHERE load_id = 'another'")
    assert fetch_all(other, LOADS) == [("another",), ("with",)]
    assert len(holding(secret, lakes, home, other)) > 5
    least = STATS.format(home.lake.schema)
    assert secret in lakes.sql(least)
    gone = forget(home, "ml-1m", PERSON)
    assert gone.loads == ["with"]
    assert fetch_all(other, LOADS) == fetch_all(home, LOADS) == lake(LOADS) == [("another",)]
    assert holding(secret, lakes, home, other) == []
    assert secret not in lakes.sql(least)
    assert lake("SELECT line FROM raw.rejects WHERE line > '4::a'") == [(f"{PERSON}::zzz",)]
    publish_secret(other, "third", "yyy", user=5)  # the lake goes on
    assert lake("SELECT count(*) FROM raw.rejects WHERE line >= '4::z'") == [(2,)]


def test_rows_that_were_too_many_for_postgresql_go_from_their_file(
    home, lakes, lake, monkeypatch, secret
):
    monkeypatch.setattr("warehouse.lake.changes.SMALL_ROWS", 0)
    publish_secret(home, "with", secret)
    publish_secret(home, "another", "zzz")
    with writing(home) as connection:
        connection.execute("UPDATE raw.loads SET dataset = 'ml-100k' WHERE load_id = 'another'")
    forget(home, "ml-1m", PERSON)
    assert lake(LOADS) == [("another",)]
    assert lake("SELECT count(*) FROM mart.validation_results") == [(1,)]
    assert holding(secret, lakes, home) == []


def test_other_homes_lose_weights_sequences_and_older_catalogues(
    home, other, published_snapshot, make_run, write_run, lake, lakes
):
    snapshot = published_snapshot.snapshot_id
    publish_runs(home, [make_run("here", snapshot, [1.0, 2.0, 3.0, 4.0])])
    publish_runs(other, [write_run(other, "there", snapshot, [1.0, 2.0, 3.0, 4.0], seed=1)])
    (other.root / f"sequences/sequences-{snapshot}.parquet").write_bytes(b"rows of four")
    (other.run("never") / "search").mkdir(parents=True)  # was killed before it was published
    (other.run("never") / "order.json").write_text(f'{{"snapshot_id": "{snapshot}"}}')
    assert len(catalogues(other)) > 1
    forget(home, "ml-1m", PERSON)
    assert fetch_all(other, "SELECT run_id FROM mart.training_runs") == []
    for one in (home, other):
        assert list(one.runs.iterdir()) == list(one.sequences.iterdir()) == []
        assert catalogues(one) == [newest(one)]
    assert list(home.store.rglob("*.parquet")) == []
    for table in wanted():  # none is missed by those who ask DuckLake
        lake(f"FROM {table}")
    left = f"SELECT count(*) FROM {home.lake.schema}.ducklake_data_file"
    assert lakes.sql(left) == "0"


def test_a_home_at_work_loses_them_when_it_is_done(home, other, published_snapshot, monkeypatch):
    (other.sequences / f"sequences-{published_snapshot.snapshot_id}.parquet").write_bytes(b"rows")
    monkeypatch.setattr("warehouse.lake.elsewhere.others_live", lambda _, own: not own)
    forget(home, "ml-1m", PERSON)
    assert fetch_all(other, LOADS) == []
    assert len(list(other.sequences.iterdir())) == 1
    assert len(carry_out(other, "own")) == 1
    assert list(other.sequences.iterdir()) == carry_out(other, "own") == []


def test_what_rests_on_a_forgotten_person_is_not_published_by_a_home_at_work(
    home, other, published_snapshot, write_run, stage_raw, monkeypatch
):
    """It began before: a load, a training on a snapshot that went, an audit."""
    monkeypatch.setattr("warehouse.lake.elsewhere.others_live", lambda *_: True)
    run = write_run(other, "late", published_snapshot.snapshot_id, [1.0, 2.0, 3.0, 4.0])
    forget(home, "ml-1m", PERSON)
    rows = [(user, item, item) for user in (1, PERSON) for item in (1, 2, 3)]
    with staging_folder(other, "test") as folder:
        stage_raw(folder, "new", rows)
        with pytest.raises(RefusedError, match=r"withdrew meanwhile.*forgotten now"):
            publish_load(other, folder)
    with pytest.raises(RefusedError, match=r"withdrew meanwhile.*late of snapshot .*is gone"):
        publish_runs(other, [run])
    with pytest.raises(RefusedError, match="got load, which was forgotten"):
        audit(other, "load")
    assert list(other.store.rglob("*/load_id=new/*.parquet")) == []
    assert fetch_all(home, LOADS) == fetch_all(other, LOADS) == []


def audit(home: Home, load: str) -> None:
    outcome = dict.fromkeys(("observed", "unexpected_count", "name"))
    outcome |= {"table_name": "raw.ratings", "expectation": "x", "severity": "info"}
    store_outcomes(home, [outcome | {"success": True, "sample": [], "reason": "y"}], load_id=load)


def test_what_rests_on_a_pruned_snapshot_is_not_published(
    home, other, published_snapshot, staging, write_run, publish_rows
):
    run = write_run(other, "late", published_snapshot.snapshot_id, [1.0, 2.0, 3.0, 4.0])
    rule = Rule(keep=0)
    gone = pruning.prune(home, rule, pruning.would_go(home, rule))
    assert [one.kind for one in gone] == ["load", "snapshot"]
    with pytest.raises(RefusedError, match="withdrew meanwhile"):
        publish_runs(other, [run])
    rows = [(user, (user + step) % 6 + 1, 10 * step) for user in range(1, 5) for step in range(5)]
    publish_rows("load", rows)  # what was pruned may be made again
    assert fetch_all(other, LOADS) == [("load",)]


OTHERS_PLACE = "before what another home withdrew goes"
FORGETTERS_PLACES = (
    "a person is out of the catalogue",
    "before the lake's past goes",
    "before rows of PostgreSQL go",
)


def test_writers_are_killed_at_every_place_of_a_lakes_own():
    found = set()
    for path in Path(past.__file__).parent.glob("*.py"):
        found |= set(re.findall(r'\bpoint\("([^"]+)"\)', path.read_text()))
    assert found == {OTHERS_PLACE, *FORGETTERS_PLACES[1:]}


@pytest.mark.parametrize("place", FORGETTERS_PLACES)
def test_a_forgetting_that_was_killed_is_gone_on_with(
    home, other, lakes, published_snapshot, make_run, program, place, secret
):
    publish_secret(home, "with", secret)
    publish_runs(home, [make_run("run", published_snapshot.snapshot_id, [1.0, 2.0, 3.0, 4.0])])
    killed = program(FORGET, str(home.root), str(PERSON), FPT_FAULT=f"{place}:kill")
    assert killed.wait(120) == -signal.SIGKILL
    assert fetch_all(other, LOADS) == []
    assert forgetting.go_on(home)
    assert holding(secret, lakes, home, other) == []
    assert list(home.runs.iterdir()) == list(home.store.rglob("*.parquet")) == []
    assert forgetting.go_on(home) == []


def test_another_home_that_was_killed_while_it_followed_goes_on(
    home, other, lakes, published_snapshot, program, secret
):
    publish_secret(other, "with", secret)
    (other.sequences / f"sequences-{published_snapshot.snapshot_id}.parquet").write_text(secret)
    forget(home, "ml-1m", PERSON)
    code = "from warehouse.following import newest; newest(Home.at(sys.argv[1]))"
    killed = program(code, str(other.root), FPT_FAULT=f"{OTHERS_PLACE}:kill")
    assert killed.wait(120) == -signal.SIGKILL
    assert fetch_all(other, LOADS) == []
    carry_out(other)
    assert holding(secret, lakes, home, other) == []


def test_a_reader_who_has_the_lake_open_reads_on_until_rows_must_go(
    home, lakes, monkeypatch, secret
):
    monkeypatch.setattr(past, "LOCK_SECONDS", 1)
    publish_secret(home, "with", secret)
    with attached(home.lake) as lake:
        lake.begin()
        samples = "SELECT count(*) FROM mart.validation_results"
        assert lake.execute(samples).fetchone() == (1,)
        with pytest.raises(InUseError, match="open as it was"):
            program_forgets(home)
        assert lake.execute(samples).fetchone() == (1,)
        lake.rollback()
    assert forgetting.go_on(home)
    assert holding(secret, lakes, home) == []


def test_nobody_is_told_that_rows_are_gone_which_postgresql_keeps_for_another(
    home, lakes, monkeypatch, secret
):
    """Whoever looks at the database as it was, at whatever there: a vacuum skips the rows then."""
    monkeypatch.setattr(past, "LOCK_SECONDS", 1)
    publish_secret(home, "with", secret)
    with server.asking(home.lake) as other:
        other.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        other.execute("SELECT count(*) FROM pg_class")
        with pytest.raises(InUseError, match=r"open as it was.*PostgreSQL's process"):
            forget(home, "ml-1m", PERSON)
        other.execute("ROLLBACK")
    assert forgetting.go_on(home)
    assert holding(secret, lakes, home) == []


@pytest.mark.parametrize("ask", [forgetting.at_stake, forget])
def test_files_that_another_home_deletes_meanwhile_are_looked_for_again(
    home, other, monkeypatch, secret, ask
):
    publish_secret(home, "with", secret)
    publish_secret(home, "another", "zzz", user=5)
    loads_of, times = forgetting._loads, []

    def after_the_other_has_forgotten(connection, dataset, user):
        times.append(user)
        if len(times) == 1:
            forget(other, "ml-1m", 5)
        return loads_of(connection, dataset, user)

    monkeypatch.setattr(forgetting, "_loads", after_the_other_has_forgotten)
    said = ask(home, "ml-1m", PERSON)
    assert said == forgetting.AtStake(0, ["a.zip"]) or said.loads == ["with"]
    assert times[:3] == [PERSON, 5, 5]  # then again: the other asks twice
    assert PERSON in times[3:]


def program_forgets(home: Home) -> None:
    """By another instance than the reader's, as another process would."""
    from warehouse.lake import attached as module

    mine = dict(module._instances)
    module._instances.clear()
    try:
        forget(home, "ml-1m", PERSON)
    finally:
        module._instances.update(mine)


def test_a_pruned_file_is_read_by_who_has_it_open_and_goes_at_once_if_asked(
    home, other, publish, lake
):
    publish(home, "first")
    (file,) = home.store.glob("raw.items/*/*")
    rule = Rule(keep=0)
    pruning.prune(home, rule, pruning.would_go(home, rule))
    assert fetch_all(other, LOADS) == []
    assert lake("SELECT count(*) FROM raw.items AT (VERSION => 1)") == [(2,)]
    assert file.exists()
    publish(other, "second")
    pruning.prune(home, rule, pruning.would_go(home, rule), at_once=True)
    assert list(home.store.rglob("*.parquet")) == []
    assert fetch_all(other, LOADS) == lake(LOADS) == []
    with pytest.raises(StepError, match="No snapshot found at version 1"):
        lake("SELECT count(*) FROM raw.items AT (VERSION => 1)")


def test_a_pruning_that_was_killed_is_gone_on_with(home, other, publish, program):
    publish(home, "first")
    place = "what is pruned is out of the catalogue"
    killed = program(PRUNE, str(home.root), FPT_FAULT=f"{place}:kill")
    assert killed.wait(120) == -signal.SIGKILL
    assert fetch_all(other, LOADS) == []
    pruning.clear_up(home)
    assert list(home.store.rglob("*.parquet")) == []


def test_two_homes_forget_at_the_same_time(home, other, program, lakes, secret):
    publish_secret(home, "with", secret)
    publish_secret(other, "more", secret)
    with writing(home) as connection:
        connection.execute("UPDATE raw.loads SET dataset = 'ml-100k' WHERE load_id = 'more'")
    code = FORGET.replace('"ml-1m"', "sys.argv[3]")
    words = [(home, "ml-1m"), (other, "ml-100k")]
    both = [program(code, str(one.root), str(PERSON), dataset) for one, dataset in words]
    for one in both:
        _, said = one.communicate(timeout=240)
        assert one.returncode == 0, said
    assert fetch_all(home, LOADS) == fetch_all(other, LOADS) == []
    assert len(fetch_all(home, "FROM raw.forgotten")) == 2
    assert holding(secret, lakes, home, other) == []


def test_a_home_that_publishes_meanwhile_waits(home, other, publish, monkeypatch):
    publish(home, "first")
    drop, said = past.drop_files, []

    def later(address):
        monkeypatch.setattr(waiting, "most", 0.2)
        with pytest.raises(InUseError, match="Another home publishes"):
            publish(other, "second")
        said.append("waited")
        monkeypatch.setattr(waiting, "most", None)
        drop(address)

    monkeypatch.setattr(past, "drop_files", later)
    rule = Rule(keep=0)
    pruning.prune(home, rule, pruning.would_go(home, rule), at_once=True)
    assert said
    publish(other, "second")
    assert fetch_all(home, LOADS) == [("second",)]


def test_a_user_who_may_not_is_refused_in_one_line(home, lakes, publish, monkeypatch):
    """Tables are of whoever made the lake; a home of another user reads and adds, and no more."""
    publish(home, "first")
    schema = home.lake.schema
    lakes.sql("DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN PASSWORD 'gu3st-word'")
    lakes.sql(
        f"GRANT USAGE ON SCHEMA {schema} TO guest; "
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO guest"
    )
    user = f"{lakes.url(home.files, schema).split('//')[1].split('@')[0]}@"
    url = lakes.url(home.files, schema).replace(user, "guest:gu3st-word@")
    monkeypatch.setenv("FPT_WAREHOUSE", url)
    address = parsed(url)[0]
    with (
        pytest.raises(RefusedError, match="PostgreSQL refuses the lake") as caught,
        server.asking(address) as postgres,
    ):
        past._drop_ended(postgres, address)
    assert "gu3st-word" not in str(caught.value)
    lakes.sql(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM guest")
    lakes.sql(f"REVOKE ALL ON SCHEMA {schema} FROM guest; DROP ROLE guest")

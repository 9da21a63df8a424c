"""What other homes do while one forgets or prunes: nothing of a person stays, nothing else goes."""

import signal
from contextlib import contextmanager

import pytest

from warehouse import following, forgetting, pruning
from warehouse.catalogue import fetch_all
from warehouse.database import locked
from warehouse.errors import NotOwnerError
from warehouse.expiry import Rule
from warehouse.forgetting import forget
from warehouse.home import Home
from warehouse.kept_catalogues import copy_fault
from warehouse.publishing import publish_runs
from warehouse.withdrawing import notes

LOADS = "SELECT load_id FROM raw.loads ORDER BY ALL"
RUNS = "SELECT run_id FROM mart.training_runs ORDER BY ALL"
PERSON = 4


@pytest.fixture
def meanwhile():
    """Do something right before a module's function is called for the first time."""
    with pytest.MonkeyPatch.context() as patch:

        def do(module, name: str, what) -> None:
            real = getattr(module, name)

            def later(*words, **named):
                patch.undo()
                what()
                return real(*words, **named)

            patch.setattr(module, name, later)

        yield do


def test_what_is_trained_from_a_person_meanwhile_goes_too(
    home, other, published_snapshot, write_run, meanwhile
):
    run = write_run(other, "late", published_snapshot.snapshot_id, [1.0, 2.0, 3.0, 4.0])
    meanwhile(forgetting, "writing", lambda: publish_runs(other, [run]))
    assert forget(home, "ml-1m", PERSON).runs == ["late"]
    assert fetch_all(other, RUNS) == fetch_all(home, RUNS) == []
    assert list(home.store.rglob("*.parquet")) == list(other.runs.iterdir()) == []


def test_what_another_home_made_again_meanwhile_stays(home, other, publish, meanwhile):
    publish(home, "first")
    rule = Rule(keep=0)
    gone = pruning.would_go(home, rule)
    meanwhile(pruning, "delete_beside_store", lambda: publish(other, "first"))
    pruning.prune(home, rule, gone, at_once=True)
    assert fetch_all(home, LOADS) == [("first",)]
    assert fetch_all(home, "SELECT count(*) FROM raw.items") == [(2,)]


def test_who_follows_while_files_go_follows_once_more(home, other, published_snapshot, meanwhile):
    meanwhile(following, "refuse_unreadable", lambda: forget(home, "ml-1m", PERSON))
    assert fetch_all(other, LOADS) == []


def test_a_pruning_that_was_not_published_deletes_nothing(home, publish, monkeypatch):
    publish(home, "first")
    rule = Rule(keep=0)
    gone = pruning.would_go(home, rule)
    with monkeypatch.context() as patch:
        patch.setattr("warehouse.catalogue.upstream.publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            pruning.prune(home, rule, gone, at_once=True)
    assert len(notes(home, pruning.LOCK)) == 1
    assert pruning.go_on(home) == notes(home, pruning.LOCK) == []
    assert fetch_all(home, "SELECT count(*) FROM raw.items") == [(2,)]


def test_who_was_killed_while_following_keeps_nothing_of_a_person(
    home, other, published_snapshot, program
):
    assert fetch_all(other, LOADS) == [("load",)]
    (other.sequences / f"sequences-{published_snapshot.snapshot_id}.parquet").write_bytes(b"rows")
    forget(home, "ml-1m", PERSON)
    code = "from warehouse.following import newest; newest(Home.at(sys.argv[1]))"
    place = "a catalogue is copied for readers"
    killed = program(code, str(other.root), FPT_FAULT=f"{place}:kill")
    assert killed.wait(120) == -signal.SIGKILL
    assert copy_fault(other)
    assert fetch_all(other, LOADS) == []
    assert copy_fault(other) == ""
    assert list(other.sequences.iterdir()) == []


def test_a_run_that_was_at_work_leaves_nothing_of_a_person(
    home, other, published_snapshot, monkeypatch
):
    from flows.unchanged import _is_tidy
    from tasks import flow_runs

    said = []
    monkeypatch.setattr(flow_runs, "note", said.append)
    left = other.sequences / f"sequences-{published_snapshot.snapshot_id}.parquet"
    with locked(other, "flow-x"):
        assert fetch_all(other, LOADS) == [("load",)]
        left.write_bytes(b"rows")
        forget(home, "ml-1m", PERSON)
        assert fetch_all(other, LOADS) == []
        assert left.exists()
        assert not _is_tidy(other)
        flow_runs.leave(other, "flow-x")
    assert said == ["deleted what another home withdrew: 2"]
    assert not left.exists()
    assert _is_tidy(other)


@pytest.fixture
def guest(home, lakes, url, published_snapshot, tmp_path, monkeypatch):
    """A home of a user who may read and write what is published, and owns none of it."""
    schema = home.lake.schema
    lakes.sql(f"CREATE ROLE {schema}_guest LOGIN PASSWORD 'guest-word'")
    lakes.sql(f"GRANT ALL ON SCHEMA {schema} TO {schema}_guest")
    lakes.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {schema}_guest")
    user = url.partition("://")[2].split("@")[0]

    @contextmanager
    def as_guest():
        monkeypatch.setenv("FPT_WAREHOUSE", url.replace(user, f"{schema}_guest:guest-word"))
        yield Home.at(tmp_path / "guest")
        monkeypatch.setenv("FPT_WAREHOUSE", url)

    return as_guest


def test_the_owner_ends_what_a_user_of_fewer_rights_may_not(home, lakes, guest):
    with guest() as theirs:
        with pytest.raises(NotOwnerError, match="Let the user whose tables these are run"):
            forget(theirs, "ml-1m", PERSON)
        assert forgetting.go_on(theirs) == notes(theirs, forgetting.LOCK) == []
    assert fetch_all(home, LOADS) == []
    table = f"{home.lake.schema}.ducklake_table_column_stats"
    before = lakes.sql(f"SELECT pg_relation_filenode('{table}')")
    assert forget(home, "ml-1m", PERSON).loads == []
    assert lakes.sql(f"SELECT pg_relation_filenode('{table}')") != before  # it is written anew

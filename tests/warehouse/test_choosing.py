"""Which data set a command means that names none: no nightly run changes it."""

import hashlib

import pytest

from warehouse.choosing import remembered, settle
from warehouse.errors import RefusedError
from warehouse.publishing import publish_runs
from warehouse.recommending import serving_run
from warehouse.records import Choice

WEIGHTS_SHA256 = hashlib.sha256(b"weights").hexdigest()


@pytest.fixture
def train(home, begun, publish_rows, prepare_load, make_run):
    """Prepare a load of that many rows a user with a retention, and publish a training on it."""

    def go(run_id: str, retention: str, length: int = 6, model: str = "sas_fpt", **load) -> str:
        asked = (run_id, retention, length, model, load)
        return begun(home, repr(asked), lambda: make(*asked))

    def make(run_id: str, retention: str, length: int, model: str, load: dict) -> str:
        rows = [(user, item, 100 * item) for user in range(1, 7) for item in range(1, length + 1)]
        publish_rows(f"load-{length}", rows, **load)
        snapshot = prepare_load(f"load-{length}", retention)
        values = {"model": model, "checkpoint_sha256": WEIGHTS_SHA256}
        publish_runs(home, [make_run(run_id, snapshot.snapshot_id, [1.0] * 6, **values)])
        (home.run(run_id) / "best.safetensors").write_bytes(b"weights")
        return snapshot.snapshot_id

    return go


def test_nothing_published_says_what_to_run(home):
    with pytest.raises(RefusedError, match="Run `fpt run` first"):
        serving_run(home)


def test_the_only_data_set_is_taken_and_not_remembered(home, train):
    snapshot = train("a", "5-core")
    assert serving_run(home).snapshot_id == snapshot
    assert remembered(home) == Choice()


def test_a_nightly_run_of_other_data_changes_no_answer(home, train):
    """User 1 would be another person."""
    train("a", "5-core")
    assert serving_run(home, Choice(dataset="ml-1m")).run_id == "a"
    train("b", "cold-start")  # newer
    assert serving_run(home).run_id == "a"
    assert serving_run(home, Choice(model="SAS-FPT")).run_id == "a"
    assert serving_run(home, Choice(retention="cold-start")).run_id == "b"
    assert serving_run(home).run_id == "b"


def test_of_several_none_is_taken_that_nobody_named(home, train):
    train("a", "5-core")
    assert serving_run(home).run_id == "a"
    train("b", "cold-start")
    for choice in (Choice(), Choice(dataset="ml-1m"), Choice(model="sas-fpt")):
        with pytest.raises(
            RefusedError, match=r"expected ml-1m cold-start or ml-1m 5-core.*--retention cold-start"
        ):
            serving_run(home, choice)
    assert remembered(home) == Choice()


@pytest.mark.slow
def test_somebody_at_a_terminal_is_asked(home, train):
    train("a", "5-core")
    train("b", "cold-start")
    offered = []

    def pick(offers):
        offered.extend((one.data, one.retention, one.models) for one in offers)
        return offers[1]

    assert serving_run(home, pick=pick).run_id == "a"
    assert offered == [("ml-1m", "cold-start", "SAS-FPT"), ("ml-1m", "5-core", "SAS-FPT")]


@pytest.mark.slow
def test_another_archive_under_the_same_name_is_another_data_set(home, train):
    train("a", "5-core")
    serving_run(home, Choice(retention="5-core"))
    train("b", "5-core", 7, verified=False)
    assert serving_run(home).run_id == "a"
    other = "ml-1m (unverified: ml-1m.zip)"
    assert serving_run(home, Choice(dataset=other)).run_id == "b"
    assert serving_run(home).facts["dataset"] == other
    assert "ml-1m (unverified: ml-1m.zip) 5-core (snapshot" in serving_run(home).title


@pytest.mark.slow
def test_the_newest_snapshot_of_the_same_data_is_asked(home, train):
    train("a", "5-core")
    newer = train("b", "5-core", 7)
    assert serving_run(home).snapshot_id == newer


def test_a_model_is_named_as_tables_write_it_or_by_its_slug(home, train):
    train("a", "5-core")
    train("b", "5-core", model="tisasrec_plus")
    for name in ("TiSASRec+", "tisasrec+", "tisasrec_plus"):
        assert serving_run(home, Choice(model=name)).run_id == "b"
    assert serving_run(home).run_id == "b"  # the model too was asked for last
    assert (
        serving_run(home, Choice(dataset="ml-1m")).run_id == "a"
    )  # the best, or the first of equals
    with pytest.raises(
        RefusedError,
        match=r"No published training is what is asked for: got SASREC 5-core, "
        r"expected ml-1m 5-core \(SAS-FPT, TiSASRec\+\)",
    ):
        serving_run(home, Choice(model="SASREC", retention="5-core"))


@pytest.mark.slow
def test_what_was_named_last_and_is_gone_is_not_replaced_in_silence(home, train):
    from warehouse.catalogue import writing

    train("a", "5-core")
    serving_run(home, Choice(retention="5-core"))
    train("b", "cold-start")
    with writing(home) as connection:
        connection.execute("DELETE FROM mart.training_runs WHERE run_id = 'a'")
    with pytest.raises(RefusedError, match="What was asked for last has no published training"):
        settle(home, Choice())
    assert serving_run(home, Choice(dataset="ml-1m")).run_id == "b"


@pytest.mark.slow
def test_a_note_that_is_damaged_is_none(home, train):
    train("a", "5-core")
    (home.root / "chosen.json").write_text("[1")
    assert serving_run(home).run_id == "a"

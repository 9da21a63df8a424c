"""What is too old to keep, by hand and over any dependencies; and that it goes, whoever dies."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse import faults, keeping
from warehouse.catalogue import reading
from warehouse.database import locked
from warehouse.errors import RefusedError
from warehouse.expiry import Rule, Thing, outdated
from warehouse.home import Home
from warehouse.kept_catalogues import catalogues
from warehouse.pruning import go_on, prune, would_go
from warehouse.publishing import has_load, publish_runs
from warehouse.questions import ask
from warehouse.store import listed

NOW = datetime(2026, 6, 1)
ALL = Rule(keep=0)


def thing(kind: str, id: str, needs: str | None = None, days: int = 0, **more) -> Thing:
    values = {"label": "x", "publication": 1000 - days, "counts": True, "bytes": 1} | more
    return Thing(kind, id, needs, made_at=NOW - timedelta(days=days), **values)


TWO_NIGHTS = [
    *(thing("load", "l1", None, 9), thing("load", "l2", None, 1)),
    *(thing("snapshot", "s1", "l1", 9), thing("snapshot", "s2", "l2", 1)),
    *(thing("training", "r1", "s1", 9), thing("training", "r2", "s2", 1)),
]


def ids(things, rule) -> set[str]:
    return {one.id for one in outdated(things, rule, NOW)}


def test_the_newest_of_each_stay():
    assert ids(TWO_NIGHTS, Rule(1)) == {"l1", "s1", "r1"}
    assert ids(TWO_NIGHTS, Rule(2)) == set()
    assert ids(TWO_NIGHTS, Rule(0)) == {"l1", "s1", "r1", "l2", "s2", "r2"}


def test_only_what_is_old_enough_goes():
    assert ids(TWO_NIGHTS, Rule(0, timedelta(days=5))) == {"l1", "s1", "r1"}
    assert ids(TWO_NIGHTS, Rule(1, timedelta(days=9))) == set()
    assert ids(TWO_NIGHTS, Rule(1, timedelta(days=8))) == {"l1", "s1", "r1"}


def test_what_one_that_stays_was_made_from_stays():
    other = thing("training", "paper", "s1", 9, label="another preset")
    assert ids([*TWO_NIGHTS, other], Rule(1)) == {"r1"}


def test_of_another_label_is_no_newer_one():
    assert ids([thing("load", "a", days=3), thing("load", "b", label="y")], Rule(1)) == set()


def test_a_training_that_failed_is_none_of_the_newest():
    failed = thing("training", "f", "s2", 0, counts=False)
    assert ids([*TWO_NIGHTS, failed], Rule(1)) == {"l1", "s1", "r1", "f"}


def test_what_one_rests_on_that_came_after_the_consent_stays():
    agreed = {one.id for one in outdated(TWO_NIGHTS, ALL, NOW)}
    late = thing("training", "late", "s1", label="late")
    gone = outdated([*TWO_NIGHTS, late], ALL, NOW, agreed)
    assert {one.id for one in gone} == {"r1", "l2", "s2", "r2"}


@st.composite
def worlds(draw) -> list[Thing]:
    """Loads, snapshots of them, trainings of these; some need what is not there."""
    found: list[Thing] = []
    for kind, above in (("load", None), ("snapshot", "load"), ("training", "snapshot")):
        parents = [one.id for one in found if one.kind == above] + ["lost"]
        for number in range(draw(st.integers(0, 6))):
            found.append(
                thing(
                    kind,
                    f"{kind}{number}",
                    draw(st.sampled_from(parents)) if above else None,
                    draw(st.integers(0, 20)),
                    label=draw(st.sampled_from("xy")),
                    publication=draw(st.integers(1, 9)),
                    counts=draw(st.booleans()) or kind != "training",
                )
            )
    return draw(st.permutations(found))


rules = st.builds(Rule, st.integers(0, 3), st.none() | st.integers(0, 20).map(timedelta))


@given(worlds(), rules)
def test_nothing_that_stays_depends_on_what_goes_and_no_more_stays_than_must(things, rule):
    gone = ids(things, rule)
    staying = [one for one in things if one.id not in gone]
    needed = {one.needs for one in staying}
    assert not needed & gone
    for one in staying:
        newer = [
            other
            for other in things
            if (other.kind, other.label, other.counts) == (one.kind, one.label, True)
            and (-other.publication, other.id) < (-one.publication, one.id)
        ]
        young = rule.older_than is not None and one.made_at >= NOW - rule.older_than
        among = one.counts and len(newer) < rule.keep
        assert one.id in needed or young or among, one
    assert ids(staying, rule) == set()  # again does nothing


@pytest.fixture
def nights(home, begun, publish_rows, prepare_load, make_run):
    """Three nights: a load with a row more, a snapshot and a training each, in one home."""

    def make() -> None:
        for night in (1, 2, 3):
            rows = [(u, i, 10 * i + night) for u in range(1, 5) for i in range(1, 6 + (u == night))]
            publish_rows(f"load{night}", rows)
            snapshot = prepare_load(f"load{night}", "cold-start").snapshot_id
            publish_runs(home, [make_run(f"run{night}", snapshot, [1.0] * 4)])
            (home.run(f"run{night}") / "best.safetensors").write_bytes(b"w" * 1000)

    begun(home, "three nights", make)
    return home


def published(home: Home) -> tuple[list[str], ...]:
    queries = (
        "SELECT load_id FROM raw.loads ORDER BY 1",
        "SELECT load_id FROM core.snapshots ORDER BY 1",
        "SELECT run_id FROM mart.training_runs ORDER BY 1",
        "SELECT DISTINCT run_id FROM mart.run_metrics ORDER BY 1",
        "SELECT DISTINCT run_id FROM mart.user_ranks ORDER BY 1",
        "SELECT DISTINCT run_id FROM mart.run_slices ORDER BY 1",
        "SELECT DISTINCT load_id FROM raw.ratings ORDER BY 1",
    )
    return tuple(ask(home, query).to_series().to_list() for query in queries)


def test_a_prune_is_a_publication_without_what_was_replaced(nights):
    rule = Rule(1)
    found = would_go(nights, rule)
    before = published(nights)
    assert sorted(one.id for one in found if one.kind != "snapshot") == [
        *("load1", "load2", "run1", "run2")
    ]
    with reading(nights) as connection:
        stored = {one.identity: 0 for one in listed(connection)}
        for one in listed(connection):
            stored[one.identity] += one.size
    (run1,) = (one for one in found if one.id == "run1")
    folder = sum(p.stat().st_size for p in nights.run("run1").rglob("*"))
    assert run1.bytes == stored["run1"] + folder
    assert published(nights) == before  # so far nothing went
    assert prune(nights, rule, found) != []
    assert published(nights) == (["load3"], ["load3"], ["run3"], *[["run3"]] * 3, ["load3"])
    assert [path.name for path in nights.runs.iterdir()] == ["run3"]
    assert len(list(nights.sequences.glob("*.parquet"))) == 1
    assert len(catalogues(nights)) == 3
    assert has_load(nights, "load3")
    assert would_go(nights, rule) == []


@pytest.mark.slow
@pytest.mark.files_only  # a lake deletes by name, and its folders stay
def test_files_of_tables_go_when_no_reader_can_have_them_open(nights):
    prune(nights, Rule(1), would_go(nights, Rule(1)))
    assert list(nights.store.glob("*/*=load1"))
    assert keeping.prune(nights) == []
    gone = keeping.prune(nights, older_than=-1)  # as if a day were over
    assert gone
    assert not list(nights.store.glob("*/*=load1"))
    assert list(nights.store.glob("*/*=load3"))
    assert published(nights)[-1] == ["load3"]


@pytest.mark.slow
@pytest.mark.files_only  # a lake deletes by name, and its folders stay
def test_at_once_frees_the_disk(nights):
    prune(nights, Rule(1), would_go(nights, Rule(1)), at_once=True)
    assert {path.name for path in nights.store.glob("*/load_id=*")} == {"load_id=load3"}
    assert ask(nights, "SELECT count(*) FROM raw.ratings").item() == 21


@pytest.mark.slow
def test_what_went_can_be_made_again(nights, publish_rows, prepare_load, make_run):
    prune(nights, ALL, would_go(nights, ALL), at_once=True)
    assert published(nights) == ([],) * 7
    rows = [(u, i, 10 * i + 1) for u in range(1, 5) for i in range(1, 6 + (u == 1))]
    publish_rows("load1", rows)
    snapshot = prepare_load("load1", "cold-start").snapshot_id
    publish_runs(nights, [make_run("run1", snapshot, [1.0] * 4)])
    assert published(nights) == (["load1"], ["load1"], *[["run1"]] * 4, ["load1"])


@pytest.mark.slow
def test_what_nobody_agreed_to_stays(nights):
    rule = Rule(1)
    agreed = [one for one in would_go(nights, rule) if one.id == "run1"]
    assert [one.id for one in prune(nights, rule, agreed)] == ["run1"]
    assert published(nights)[2] == ["run2", "run3"]


def test_what_became_needed_meanwhile_stays(nights, make_run):
    rule = Rule(1)
    agreed = would_go(nights, rule)
    (first,) = (one.id for one in agreed if one.needs == "load1")
    publish_runs(nights, [make_run("late", first, [1.0] * 4, model="tisasrec")])
    gone = {one.id for one in prune(nights, rule, agreed)}
    assert "run1" in gone
    assert not gone & {"late", first, "load1"}


@pytest.mark.slow
def test_a_run_at_work_is_not_pruned_under(nights):
    with (
        locked(nights, "flow-1234"),
        pytest.raises(RefusedError, match="A run is at work in this home"),
    ):
        prune(nights, Rule(1), would_go(nights, Rule(1)))


PLACES = ["what is pruned is out of the catalogue", "before what is pruned goes"]


def die(nights, monkeypatch, place: str) -> None:
    faults._times.clear()
    monkeypatch.setenv(faults.ASKED, f"{place}:raise")
    with pytest.raises(faults.FaultError):
        prune(nights, Rule(1), would_go(nights, Rule(1)), at_once=True)
    monkeypatch.delenv(faults.ASKED)


@pytest.mark.parametrize("place", [PLACES[0], pytest.param(PLACES[1], marks=pytest.mark.slow)])
def test_the_next_run_deletes_what_a_dead_prune_left(nights, monkeypatch, place):
    die(nights, monkeypatch, place)
    assert published(nights)[2] == ["run3"]
    assert nights.run("run1").exists()
    with locked(nights, "flow-other"):
        assert go_on(nights) == []  # which may be training it again
    with locked(nights, "flow-own"):
        assert go_on(nights, "flow-own") == ["pruned 6 to the end"]
    assert [path.name for path in nights.runs.iterdir()] == ["run3"]
    # a lake's folders stay: another home may be about to put something there
    files = nights.store.glob("*/load_id=*/*")
    assert {path.parent.name for path in files} == {"load_id=load3"}
    assert not list(nights.root.glob("pruning-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["after the rename to pruning-*.json", "before the commit to a draft"]
)
def test_nothing_goes_before_it_is_published(nights, monkeypatch, place):
    before = published(nights)
    die(nights, monkeypatch, place)
    assert go_on(nights) == []
    assert published(nights) == before
    assert nights.run("run1").exists()
    assert not list(nights.root.glob("pruning-*"))


@pytest.mark.slow
def test_what_was_made_again_after_a_death_stays(nights, monkeypatch, publish_rows):
    die(nights, monkeypatch, PLACES[0])
    publish_rows("load1", [(1, item, item) for item in range(1, 6)])
    go_on(nights)
    assert has_load(nights, "load1")

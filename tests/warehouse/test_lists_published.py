"""Lists of trainings on their way into the warehouse, and what becomes of them."""

from dataclasses import replace

import pyarrow as pa
import pytest

from fpt_model.files.written import write_table
from warehouse.catalogue import reading, writing
from warehouse.errors import RefusedError
from warehouse.keeping import keep_whole
from warehouse.kept import published_checkpoints
from warehouse.publishing import TrainedRun, publish_runs
from warehouse.questions import ask
from warehouse.standing import standing

# `published_snapshot`: user u trains on u + 1, u + 2, u + 3 of six items in turn
LISTS = {1: [6, 1], 2: [1, 2], 3: [6, 3], 4: [6, 4]}


@pytest.fixture
def listed(home, make_run, published_snapshot):
    """A training with lists, not published yet."""

    def make(run_id: str, lists: dict[int, list[int]] = LISTS, **changes) -> TrainedRun:
        run = make_run(run_id, published_snapshot.snapshot_id, [1.0, 2.0, 3.0, 4.0], **changes)
        rows = [
            {"user_id": user, "rank": rank, "item_id": item}
            for user, items in lists.items()
            for rank, item in enumerate(items, start=1)
        ]
        schema = pa.schema([(name, pa.int32()) for name in ("user_id", "rank", "item_id")])
        path = home.run(run_id) / "lists.parquet"
        write_table(path, pa.Table.from_pylist(rows, schema=schema))
        return replace(run, lists=path)

    return make


def figures(home) -> list[tuple]:
    return ask(home, "FROM mart.run_lists ORDER BY ALL").rows()


def test_a_training_is_shown_beside_what_its_lists_are_made_of(home, listed):
    publish_runs(home, [listed("a"), listed("b", {key: [1] for key in LISTS}, seed=1)])
    assert ask(home, "SELECT count(*) FROM mart.top_lists").item() == 12
    rows = ask(
        home,
        "SELECT run_id, coverage, n_users FROM mart.beyond_accuracy"
        " WHERE k = 10 AND slice = 'everybody' ORDER BY 1",
    ).rows()
    assert rows == [("a", 5 / 6, 4), ("b", 1 / 6, 4)]
    (row,) = ask(home, "FROM beyond_accuracy WHERE slice = 'everybody'").rows(named=True)
    assert (row["model"], row["seeds"], row["users"]) == ("SAS-FPT", 2, 4)
    assert row["coverage"] == pytest.approx((5 / 6 + 1 / 6) / 2)
    (named,) = ask_named(home, "beyond-accuracy")
    assert (named["coverage"], named["bucket"]) == (0.5, "everybody")
    assert {row["slice"] for row in ask_named(home, "beyond-accuracy slice=history")} == {"history"}


def ask_named(home, question: str) -> list[dict]:
    from warehouse.saved_queries import sql_of

    return ask(home, sql_of(question)).rows(named=True)


def test_a_training_of_an_earlier_version_has_none(home, publish, listed):
    publish("old", [1.0] * 4, model="tisasrec")
    publish_runs(home, [listed("new")])
    assert {row[0] for row in figures(home)} == {"new"}
    assert set(published_checkpoints(home)) == {"old", "new"}
    assert set(standing(home, "ml-1m").checkpoints) == {"old", "new"}
    models = "SELECT model FROM {} WHERE model = 'TiSASRec'"
    assert len(ask(home, models.format("leaderboard"))) == 1
    assert ask(home, models.format("beyond_accuracy")).is_empty()


def test_figures_of_lists_are_made_again_when_their_code_changed(home, listed):
    publish_runs(home, [listed("a"), listed("b", {key: [1] for key in LISTS}, seed=1)])
    before = figures(home)
    with writing(home) as connection:
        connection.execute("UPDATE mart.run_lists SET coverage = 0")
        connection.execute("UPDATE mart.figures_version SET version = 'older'")
        connection.execute("UPDATE mart.catalogue SET version = 'older'")
    with reading(home):
        assert figures(home) == before


def test_again_replaces_and_what_goes_takes_its_lists_along(home, listed):
    publish_runs(home, [listed("a")])
    publish_runs(home, [listed("a", {key: [2] for key in LISTS})])
    assert ask(home, "SELECT count(*) FROM mart.top_lists").item() == 4
    assert {row[4] for row in figures(home)} == {1 / 6}
    with writing(home) as connection:
        connection.execute("CREATE TEMP TABLE gone AS SELECT 'a' AS id")
        from warehouse.database import statements

        connection.execute(statements("publish/withdraw"))
    assert figures(home) == []


def test_damaged_lists_publish_nothing(home, listed):
    run = listed("a")
    data = bytearray(run.lists.read_bytes())
    data[len(data) // 2] ^= 1
    run.lists.write_bytes(data)
    with pytest.raises(RefusedError, match=r"lists\.parquet is not whole"):
        publish_runs(home, [run])
    assert ask(home, "SELECT count(*) FROM mart.training_runs").item() == 0


@pytest.mark.files_only  # a lake refuses, as the folder may not be mounted
def test_a_training_that_lost_its_lists_is_not_done(home, listed):
    publish_runs(home, [listed("a"), listed("b", seed=1)])
    (path,) = (home.store / "mart.top_lists" / "run_id=a").glob("*.parquet")
    path.unlink()
    assert set(standing(home, "ml-1m").checkpoints) == {"b"}
    assert len(list(keep_whole(home))) == 1
    assert set(published_checkpoints(home)) == set(standing(home, "ml-1m").checkpoints) == {"b"}
    assert ask(home, "SELECT count(*) FROM mart.top_lists").item() == 8

"""Imported models in the tables: beside ours, marked, replaced, forgotten, pruned, kept."""

from dataclasses import replace

import polars as pl
import pyarrow as pa
import pytest

from fpt_model.files.written import write_table
from warehouse.backup import backup, restore
from warehouse.catalogue import reading, writing
from warehouse.database import statements
from warehouse.errors import RefusedError
from warehouse.expiry import Rule
from warehouse.forgetting import forget
from warehouse.home import Home
from warehouse.importing.ranking import Asked, import_id
from warehouse.imports import counts_already, replaced_by
from warehouse.pruning import prune, would_go
from warehouse.publishing import publish_runs
from warehouse.questions import ask
from warehouse.recommending import serving_run
from warehouse.records import Choice
from warehouse.report.facts import gather
from warehouse.report.page import page
from warehouse.saved_queries import sql_of
from warehouse.store import show_listed, unlist
from warehouse.trec import only_one

RANKS = pa.schema(
    [
        ("split", pa.string()),
        ("protocol", pa.string()),
        ("user_id", pa.int32()),
        ("rank", pa.float32()),
        ("n_candidates", pa.int32()),
    ]
)


@pytest.fixture
def own(home, begun, make_world):
    """A world of this test alone."""
    return replace(begun(home, "world", lambda: make_world(home)), home=home)


@pytest.fixture
def train(own, write_run):
    """Publish a training of ours whose ranks are those of given scores."""

    def go(run_id: str, frame: pl.DataFrame, **changes) -> None:
        numbers = dict(ask(own.home, "SELECT raw_user_id, user_id FROM core.users").rows())
        ranks = [
            (split, protocol, numbers[user], own.rank(frame, protocol, split, user))
            for split in ("valid", "test")
            for protocol in ("uniform_100", "full")
            for user in own.users
        ]
        run = write_run(own.home, run_id, own.snapshot.snapshot_id, [1.0], **changes)
        table = pl.DataFrame(ranks, ("split", "protocol", "user_id", "rank"), orient="row")
        table = table.with_columns(n_candidates=pl.lit(101))
        write_table(run.ranks, table.to_arrow().cast(RANKS))
        publish_runs(own.home, [run])

    return go


def board(home, columns="model"):
    return ask(home, f"SELECT {columns} FROM leaderboard ORDER BY ALL").rows()


def test_the_same_scores_are_the_same_model_in_every_table(own, train, publish_scores):
    """All that is computed of an import is what is computed of a training with these ranks."""
    frame = own.scores(ties=10**6)
    train("ours", frame)
    made = publish_scores(own, frame, "theirs", trained_on="train")
    columns = "recall_10, ndcg_10, full_recall_10, full_ndcg_10, users, warnings"
    rows = {row[0]: row[1:] for row in board(own.home, f"model, imported, seeds, {columns}")}
    assert rows["SAS-FPT"][:2] == (False, 1)
    assert rows["theirs (imported)"][:2] == (True, None)
    assert rows["theirs (imported)"][2:] == rows["SAS-FPT"][2:]
    query = (
        "SELECT preset, protocol, metric, difference, low, high, n_users FROM mart.significance "
        "WHERE model = 'theirs' AND baseline = 'sas_fpt'"
    )
    compared = ask(own.home, f"{query} AND split = 'test'").rows()
    assert len(compared) == 6
    assert all(row[0] == "quick" and row[3:] == (0, 0, 0, len(own.users)) for row in compared)
    slices = ask(own.home, "SELECT slice, bucket, model, ndcg_10, full_ndcg_10, users FROM slices")
    by_model = [
        sorted(row[:2] + row[3:] for row in slices.rows() if row[2] == model)
        for model in ("SAS-FPT", "theirs (imported)")
    ]
    assert by_model[0] == by_model[1] != []
    run = ask(own.home, f"SELECT * FROM runs WHERE run_id = '{made.run_id}'").row(0, named=True)
    unknown = ("seed", "best_epoch", "train_seconds", "device")
    assert [run[name] for name in unknown] == [None] * 4
    assert (run["imported"], run["counts"], run["preset"]) == (True, True, "imported")


def test_a_model_stands_beside_the_trainings_of_each_preset_and_alone(own, train, publish_scores):
    publish_scores(own, own.scores(1, 10**6), "theirs")
    assert board(own.home, "preset, model") == [
        ("imported", "popularity"),
        ("imported", "theirs (imported)"),
    ]
    train("a", own.scores(2, 10**6))
    train("b", own.scores(3, 10**6), preset="paper", model="tisasrec")
    publish_scores(own, own.scores(4, 10**6), "another")
    both = ("another (imported)", "popularity", "theirs (imported)")
    assert board(own.home, "preset, model") == sorted(
        [(preset, model) for preset in ("quick", "paper") for model in both]
        + [("quick", "SAS-FPT"), ("paper", "TiSASRec")]
    )
    pairs = ask(
        own.home,
        "SELECT preset, model, baseline FROM mart.significance "
        "WHERE split = 'test' AND protocol = 'full' AND metric = 'ndcg_10' AND model < baseline",
    ).rows()
    assert sorted(pairs) == [
        ("paper", "another", "theirs"),
        ("paper", "another", "tisasrec"),
        ("paper", "theirs", "tisasrec"),
        ("quick", "another", "sas_fpt"),
        ("quick", "another", "theirs"),
        ("quick", "sas_fpt", "theirs"),
    ]
    with reading(own.home) as connection:  # two imports are compared once, not once a preset
        query = "SELECT count(*) = count(DISTINCT (run_id, other_id, protocol, metric, split))"
        assert connection.execute(f"{query} FROM mart.run_pairs").fetchall() == [(True,)]
        missing = connection.execute(statements("figures/pairs"), [own.snapshot.snapshot_id])
        assert missing.fetchall() == []


def test_what_the_owner_does_not_promise_is_marked(own, publish_scores):
    both = pl.concat(
        [own.scores().with_columns(split=pl.lit(split)) for split in ("valid", "test")]
    )
    for name, said in {
        "silent": {},
        "on both": {"trained_on": "train+valid"},
        "clean": {"trained_on": "train"},
        "told": {"promise": "commit 3f2a, validated on valid"},
    }.items():
        publish_scores(own, both, name, **said)
    rows = ask(own.home, "SELECT DISTINCT model, split, warnings FROM mart.metrics").rows()
    marks = {row[:2]: row[2] for row in rows}
    assert len(rows) == len(marks)
    expected = {
        ("silent", "test"): "training-unknown",
        ("silent", "valid"): "training-unknown",
        ("on both", "valid"): "trained-on-valid",
    }
    names = ("silent", "on both", "clean", "told")
    assert marks == {
        (name, split): expected.get((name, split)) for name in names for split in ("valid", "test")
    }
    query = "SELECT promise FROM mart.imports WHERE name = 'told'"
    assert ask(own.home, query).rows() == [("commit 3f2a, validated on valid",)]
    assert dict(board(own.home, "model, warnings"))["silent (imported)"] == "training-unknown"


def test_at_the_end_of_a_run_it_stands_once_and_claims_no_settings(own, train, publish_scores):
    train("a", own.scores(2, 10**6), preset="quick epochs=2")
    train("b", own.scores(3, 10**6), preset="quick", model="tisasrec")
    publish_scores(own, own.scores(4, 10**6), "theirs")
    asked = [[own.snapshot.snapshot_id], ["quick", "quick epochs=2"]]
    rows = ask(own.home, statements("questions/metrics"), asked).select("model", "settings").rows()
    assert sorted(rows) == [
        ("SAS-FPT", "epochs=2"),
        ("TiSASRec", None),
        ("popularity", None),
        ("theirs (imported)", None),
    ]


def test_significance_has_a_row_of_any_two_models(own, train, publish_scores):
    """Neither is simple, and they are on no rung."""
    train("a", own.scores(2, 10**6), model="sasrec")
    publish_scores(own, own.scores(4, 10**6), "theirs")
    rows = ask(own.home, sql_of("significance")).select("variant", "baseline", "metric").rows()
    assert rows == [
        ("theirs (imported)", "SASRec", metric) for metric in ("mrr_10", "ndcg_10", "recall_10")
    ]
    train("b", own.scores(3, 10**6), model="ridge")
    rows = ask(own.home, sql_of("significance")).select("variant", "baseline", "best_simple").rows()
    assert rows == [
        (model, "Ridge", True) for model in ("SASRec", "theirs (imported)") for _ in range(3)
    ]


def test_ranks_of_an_older_snapshot_are_told_by_their_ids(own, train, publish_scores):
    """The board has the newest snapshot of a preset: what is of the one before is not missing."""
    old = publish_scores(own, own.scores(1), "theirs")
    with writing(own.home) as connection:  # another one is prepared later, with an import on it
        of = "INSERT INTO {0} SELECT * REPLACE ({1}, publication + 1 AS publication) FROM {0}"
        connection.execute(of.format("core.snapshots", "'later' AS snapshot_id"))
        changed = "'later' AS snapshot_id, 'another' AS run_id, 'newer' AS name"
        connection.execute(of.format("mart.imports", changed))
    assert only_one(own.home, Choice(model="newer")).run_id == "another"
    with pytest.raises(
        RefusedError, match=f"of an older snapshot.*Name one by --run: {old.run_id}"
    ):
        only_one(own.home, Choice(model="theirs"))
    assert only_one(own.home, Choice(run_id=old.run_id)).run_id == old.run_id


def test_imports_of_an_earlier_version_know_their_splits(own, publish_scores):
    made = publish_scores(own, own.scores(1), "theirs")
    with writing(own.home) as connection:
        for view in ("board_runs", "latest_imports"):
            connection.execute(f"DROP VIEW mart.{view}")
        connection.execute("ALTER TABLE mart.imports DROP COLUMN splits")
        connection.execute("UPDATE mart.catalogue SET version = 'old'")
    assert ask(own.home, "SELECT run_id, splits FROM mart.imports").rows() == [
        (made.run_id, ["test"])
    ]


def test_of_a_name_the_last_import_counts(own, publish_scores):
    first = publish_scores(own, own.scores(1), "theirs")
    assert counts_already(own.home, first.run_id)
    second = publish_scores(own, own.scores(2), "theirs")
    assert not counts_already(own.home, first.run_id)
    assert dict(ask(own.home, "SELECT run_id, counts FROM runs").rows()) == {
        first.run_id: False,
        second.run_id: True,
    }
    again = publish_scores(own, own.scores(1), "theirs")  # the first file once more
    assert again.run_id == first.run_id
    assert counts_already(own.home, first.run_id)
    assert ask(own.home, "SELECT count(*) FROM mart.imports").rows() == [(2,)]


def test_scores_of_validation_leave_those_of_test_on_the_board(own, train, publish_scores):
    """An import takes the place of an earlier one split by split."""
    train("ours", own.scores(1, 10**6))
    both = [own.scores(2, 10**6).with_columns(split=pl.lit(name)) for name in ("valid", "test")]
    first = publish_scores(own, pl.concat(both), "theirs")
    wanted = "SELECT ndcg FROM mart.{} WHERE split = ? AND protocol = 'full' AND k = 10 AND {}"
    of_board = wanted.format("leaderboard", "model = 'theirs'")
    of_run = wanted.format("metrics", "run_id = ?")
    compared = (
        "SELECT difference FROM mart.significance WHERE model = 'theirs' AND baseline = 'sas_fpt' "
        "AND split = ? AND protocol = 'full' AND metric = 'ndcg_10'"
    )

    def board_of(split):
        ours = ask(own.home, of_run, [split, "ours"]).item()
        (difference,) = ask(own.home, compared, [split]).rows()
        (theirs,) = ask(own.home, of_board, [split]).rows()
        assert difference[0] == pytest.approx(theirs[0] - ours, abs=1e-11)
        return theirs[0]

    before = {split: board_of(split) for split in ("valid", "test")}
    later = publish_scores(own, own.scores(3, 10**6), "theirs", split="valid")
    assert board_of("test") == before["test"]
    assert board_of("valid") == ask(own.home, of_run, ["valid", later.run_id]).item()
    query = "SELECT run_id, splits FROM mart.latest_imports ORDER BY splits"
    assert ask(own.home, query).rows() == [(first.run_id, ["test"]), (later.run_id, ["valid"])]
    assert not counts_already(own.home, first.run_id)
    assert counts_already(own.home, later.run_id)
    assert dict(ask(own.home, "SELECT run_id, counts FROM runs WHERE imported").rows()) == {
        first.run_id: True
    }
    assert would_go(own.home, Rule(1)) == []
    assert replaced_by(own.home, replace(first, run_id="new")) == [
        *sorted([(first.run_id, ["test"]), (later.run_id, ["valid"])])
    ]
    assert only_one(own.home, Choice(model="theirs"), split="test").run_id == first.run_id
    assert only_one(own.home, Choice(model="theirs"), split="valid").run_id == later.run_id
    with reading(own.home) as connection:
        missing = connection.execute(statements("figures/pairs"), [own.snapshot.snapshot_id])
        assert missing.fetchall() == []
    third = publish_scores(own, own.scores(4, 10**6), "theirs")
    assert board_of("test") == ask(own.home, of_run, ["test", third.run_id]).item()
    assert [one.id for one in would_go(own.home, Rule(1))] == [first.run_id]


def test_what_is_said_of_a_file_makes_another_import(world, tmp_path):
    asked = Asked(tmp_path / "a.parquet", "theirs")
    changes = ({}, {"trained_on": "train"}, {"promise": "x"}, {"split": "valid"}, {"kind": "top"})
    ids = {import_id(replace(asked, **said), world.snapshot, "abc") for said in changes}
    assert len(ids) == len(changes)
    elsewhere = replace(asked, path=tmp_path / "b.parquet")
    assert import_id(elsewhere, world.snapshot, "abc") in ids
    assert import_id(asked, world.snapshot, "abd") not in ids


def test_short_lists_are_compared_with_nobody(own, train, publish_scores):
    train("ours", own.scores(1, 10**6))
    made = publish_scores(own, own.lists(own.scores(2, 10**6), 5), "short")
    pairs = "SELECT count(*) FROM mart.run_pairs WHERE ? IN (run_id, other_id)"
    assert ask(own.home, pairs, [made.run_id]).rows() == [(0,)]
    assert ask(own.home, "SELECT count(*) FROM slices WHERE model LIKE 'short%'").rows() == [(0,)]
    row = dict(board(own.home, "model, full_recall_10"))
    assert row["short (imported)"] is None
    warnings = dict(board(own.home, "model, warnings"))["short (imported)"]
    assert warnings == "full: known-to-5, training-unknown"
    listed = "SELECT DISTINCT k, warnings FROM mart.metrics WHERE model = 'short' ORDER BY k"
    assert [said for _, said in ask(own.home, listed).rows()] == [
        *["training-unknown"] * 2,
        *["known-to-5, training-unknown"] * 2,
    ]
    named = ask(own.home, sql_of("warnings")).select("model", "name", "split", "k", "accepted")
    assert named.rows() == [
        ("short (imported)", "known-to-5", "test", 10, False),
        ("short (imported)", "training-unknown", "test", None, False),
    ]
    with reading(own.home) as connection:
        query = statements("figures/pairs")
        assert connection.execute(query, [own.snapshot.snapshot_id]).fetchall() == []


def test_lost_ranks_are_no_import_any_more(own, publish_scores):
    made = publish_scores(own, own.scores(), "theirs")
    with writing(own.home) as connection:
        unlist(connection, "mart.user_ranks", made.run_id)
        show_listed(connection, own.home, ["mart.user_ranks"])
    assert not counts_already(own.home, made.run_id)
    with reading(own.home) as connection:
        lost = connection.execute(statements("doctor/lacking_imports")).fetchall()
    assert lost == [("theirs", "scores.parquet")]


@pytest.mark.slow
def test_the_report_shows_it_without_a_seed_and_without_what_is_not_known(
    own, train, publish_scores
):
    train("ours", own.scores(1, 10**6))
    publish_scores(own, own.lists(own.scores(2, 10**6), 10), "lists")
    publish_scores(own, own.candidates(own.scores(3, 10**6)), "drawn")
    publish_scores(own, own.lists(own.scores(4, 10**6), 5), "short")
    told = page(gather(own.home))
    assert "SAS-FPT <small>1 seed</small>" in told
    assert "lists (imported) <small class=" in told
    (row,) = ask(own.home, "SELECT full_mrr_10 FROM runs WHERE model LIKE 'lists%'").rows()
    assert row[0] is not None
    assert "drawn (imported) <small class=" in told
    assert "short (imported)" not in told  # nothing at 10 is known of it


def test_nobody_asks_it_for_recommendations(own, publish_scores):
    made = publish_scores(own, own.scores(), "theirs")
    for choice in (Choice(model="Theirs"), Choice(run_id=made.run_id[:6])):
        with pytest.raises(RefusedError, match="theirs was imported: got its scores"):
            serving_run(own.home, choice)


def test_a_forgotten_user_is_forgotten_with_all_imports(own, publish_scores, make_world):
    made = publish_scores(own, own.scores(), "theirs", trained_on="train")
    gone = forget(own.home, "ml-1m", own.users[0])
    assert gone.imports == [made.run_id]
    assert gone.again == [
        "fpt import-scores scores.parquet --name theirs --dataset ml-1m --retention cold-start "
        f"--kind all --trained-on train --home {own.home.root}"
    ]
    with reading(own.home) as connection:
        for table in ("imports", "user_ranks", "run_metrics", "run_slices", "run_pairs"):
            assert connection.execute(f"SELECT count(*) FROM mart.{table}").fetchall() == [(0,)]
    assert not list(own.home.store.glob(f"*/*={made.run_id}"))


@pytest.mark.slow
def test_scores_of_a_forgotten_user_are_left_out(own, publish_scores):
    """Whose own id the data set has no more, but who is known to be forgotten."""
    frame = pl.concat(
        [own.scores(), own.scores().head(2).with_columns(user=pl.lit(4242, pl.Int64))]
    )
    with pytest.raises(RefusedError, match="users that the data set has not"):
        publish_scores(own, frame, "theirs")
    with writing(own.home) as connection:
        connection.execute(
            "INSERT INTO raw.forgotten (dataset, raw_user_id, forgotten_at)"
            " VALUES ('ml-1m', 4242, '2026-01-01')"
        )
    assert publish_scores(own, frame, "theirs").n_left_out == 2


@pytest.mark.slow
def test_replaced_imports_are_pruned(own, publish_scores):
    first = publish_scores(own, own.scores(1), "theirs")
    publish_scores(own, own.scores(2), "theirs")
    publish_scores(own, own.scores(3), "another")
    found = would_go(own.home, Rule(1))
    assert [(one.kind, one.id) for one in found] == [("import", first.run_id)]
    assert found[0].label == "ml-1m cold-start theirs (imported)"
    prune(own.home, Rule(1), found)
    names = ask(own.home, "SELECT name FROM mart.imports ORDER BY ALL").rows()
    assert names == [("another",), ("theirs",)]


@pytest.mark.slow
def test_a_backup_has_them(own, publish_scores, tmp_path):
    publish_scores(own, own.scores(), "theirs")
    backup(own.home, tmp_path / "all.tar")
    other = Home.at(tmp_path / "other")
    restore(other, tmp_path / "all.tar")
    columns = "model, full_ndcg_10, ndcg_10"
    assert board(other, columns) == board(own.home, columns)
    query = "SELECT count(*), sum(rank) FROM mart.user_ranks"
    assert ask(other, query).rows() == ask(own.home, query).rows()


@pytest.mark.slow
def test_figures_made_anew_are_the_same(own, train, publish_scores):
    """When the code of figures changes, all are computed again, of imports too."""
    train("ours", own.scores(1, 10**6))
    publish_scores(own, own.lists(own.scores(2, 10**6), 10), "theirs")
    queries = [
        f"SELECT * FROM mart.{table} ORDER BY ALL"
        for table in ("run_metrics", "run_slices", "run_pairs")
    ]
    before = [ask(own.home, query).rows() for query in queries]
    with writing(own.home) as connection:
        connection.execute("UPDATE mart.figures_version SET version = 'old'")
        connection.execute("UPDATE mart.catalogue SET version = 'old'")
    assert [ask(own.home, query).rows() for query in queries] == before

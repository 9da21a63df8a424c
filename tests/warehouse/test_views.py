"""Views by hand: constants as they are printed in the paper, and which rows count where."""

import math
from collections.abc import Iterator

import duckdb
import pytest

from warehouse.database import statements, table_files, view_files

MODELS = [
    ("recent_popularity", "Recent popularity", -6, True),
    ("bpr", "BPR", -5, True),
    ("als", "ALS", -4, True),
    ("item_knn", "item-kNN", -3, True),
    ("ease", "EASE^R", -2, True),
    ("markov_chain", "Markov chain", -1, True),
    ("ridge", "Ridge", 0, True),
    ("sasrec", "SASRec", 1, False),
    ("sse_pt", "SSE-PT", 2, False),
    ("tisasrec", "TiSASRec", 3, False),
    ("tisasrec_plus", "TiSASRec+", 4, False),
    ("tisasrec_plus_plus", "TiSASRec++", 5, False),
    ("sas_fpt", "SAS-FPT", 6, False),
    ("hstu", "HSTU", 7, False),
]
RUNGS = {
    ("sse_pt", "sasrec"),
    ("tisasrec", "sasrec"),
    ("tisasrec_plus", "tisasrec"),
    ("tisasrec_plus_plus", "tisasrec_plus"),
    ("sas_fpt", "tisasrec_plus_plus"),
    ("sas_fpt", "tisasrec"),
}
PAPER = {  # its tables 3 and 4: Recall@10 and NDCG@10
    ("tisasrec", "5-core"): (0.7881, 0.5505),
    ("tisasrec_plus", "5-core"): (0.7894, 0.5550),
    ("tisasrec_plus_plus", "5-core"): (0.8002, 0.5630),
    ("sas_fpt", "5-core"): (0.8056, 0.5702),
    ("tisasrec", "cold-start"): (0.7998, 0.5645),
    ("sas_fpt", "cold-start"): (0.8030, 0.5778),
}


@pytest.fixture
def world() -> Iterator[duckdb.DuckDBPyConnection]:
    """Loads `m` (ML-1M, verified) and `x`; snapshots 5, 0 and day of m, and other of x."""
    with duckdb.connect() as connection:
        for path in (*table_files(), *view_files()):
            connection.execute(path.read_text(encoding="utf-8"))
        connection.execute(
            "INSERT INTO raw.loads SELECT unnest(['m', 'x']), unnest(['ml-1m', 'ml-100k']),"
            " 'a.zip', unnest(['abc', 'def']), unnest([true, false]), TIMESTAMP '2026-01-01',"
            " 1, 1, 1, 1"
        )
        connection.execute(
            "INSERT INTO core.snapshots BY NAME SELECT unnest(['5', '0', 'day', 'other']) AS"
            " snapshot_id, unnest(['m', 'm', 'm', 'x']) AS load_id,"
            " unnest(['5-core', 'cold-start', '5-core', '5-core']) AS retention, 1 AS n_users,"
            " 1 AS n_items, 1 AS n_interactions, 0 AS n_duplicates, '' AS sequences_path,"
            " 'feed' AS sequences_sha256, TIMESTAMP '2026-01-01' AS created_at, 1 AS publication,"
            " unnest([NULL, NULL, DATE '2000-01-01', NULL]) AS as_of"
        )
        yield connection


@pytest.fixture
def add(world):
    """A training, and its figures: recall, NDCG and MRR of one split and protocol at 10."""

    def go(
        run_id: str,
        model: str = "sas_fpt",
        snapshot: str = "5",
        *,
        figures: tuple[float, float, float] | None = (0.5, 0.25, 0.125),
        of: tuple[str, str, int] = ("test", "uniform_100", 10),
        preset: str = "paper",
        seed: int = 0,
        status: str = "published",
        publication: int = 1,
        day: int = 1,
    ) -> None:
        world.execute(
            "INSERT INTO mart.training_runs SELECT $1, $2, $3, $4, $5, '{}', 'cpu', 'c', '{}',"
            " make_timestamp(2026, 1, $6, 0, 0, 0), make_timestamp(2026, 1, $6, 0, 0, 0), 1, 1,"
            " 'abc', $7, NULL, $8",
            [run_id, snapshot, model, preset, seed, day, status, publication],
        )
        if figures:
            world.execute(
                "INSERT INTO mart.run_metrics"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 7, 0.1, 0.2, 0.25, 0.3, 0.4)",
                [run_id, *of, *figures],
            )

    return go


def rows(world: duckdb.DuckDBPyConnection, query: str) -> list[tuple]:
    return world.execute(query).fetchall()


def test_models_rungs_and_the_papers_figures(world):
    assert sorted(rows(world, "FROM mart.models"), key=lambda row: row[2]) == [
        (*one, False)
        for one in MODELS  # nothing is imported here
    ]
    found = rows(world, "FROM mart.rungs")
    assert (set(found), len(found)) == (RUNGS, len(RUNGS))
    found = rows(world, "SELECT model, retention, recall_10, ndcg_10 FROM mart.paper_results")
    assert {row[:2]: row[2:] for row in found} == PAPER
    assert len(found) == len(PAPER)


def test_lineage_says_where_figures_come_from_and_whether_the_source_is_known(world, add):
    add("a")
    add("b", "new model", "other", seed=3)
    found = rows(
        world,
        "SELECT run_id, model, seed, snapshot_id, retention, load_id, dataset, source_sha256,"
        " verified, data, as_of FROM mart.lineage ORDER BY run_id",
    )
    assert found == [
        ("a", "sas_fpt", 0, "5", "5-core", "m", "ml-1m", "abc", True, "ml-1m", None),
        *(
            ("b", "new model", 3, "other", "5-core", "x", "ml-100k", "def", False, data, None)
            for data in ("ml-100k (unverified: a.zip)",)
        ),
    ]


def test_the_training_published_last_counts_of_those_alike(world, add):
    add("a", publication=2, day=1)
    add("b", publication=1, day=9)  # by a clock that was ahead
    add("c", seed=1, publication=1, day=1)
    add("d", seed=1, publication=1, day=2)
    add("f", seed=2, publication=1, day=1)
    add("e", seed=2, publication=1, day=1)
    add("g", seed=2, publication=9, day=9, status="failed")
    for number, other in enumerate([{"preset": "best"}, {"model": "sasrec"}, {"snapshot": "0"}]):
        add(f"h{number}", **other)
    found = rows(world, "FROM mart.latest_runs ORDER BY run_id")
    assert found == [
        ("a", "5", "paper", "sas_fpt", 0),
        ("d", "5", "paper", "sas_fpt", 1),
        ("e", "5", "paper", "sas_fpt", 2),
        ("h0", "5", "best", "sas_fpt", 0),
        ("h1", "5", "paper", "sasrec", 0),
        ("h2", "0", "paper", "sas_fpt", 0),
    ]


def test_metrics_are_of_published_trainings_alone(world, add):
    """Figures of others may lie there until they are tidied up."""
    add("good")
    add("new", "new model", seed=1)
    add("bad", seed=2, status="failed")
    found = rows(
        world,
        "SELECT run_id, model, display_name, dataset, seed, split, protocol, k, recall, ndcg, mrr,"
        " precision, n_users, least_recall, least_ndcg, warnings FROM mart.metrics ORDER BY run_id",
    )
    same = ("test", "uniform_100", 10, 0.5, 0.25, 0.125, 0.05, 7, 0.3, 0.4, None)
    assert found == [
        ("good", "sas_fpt", "SAS-FPT", "ml-1m", 0, *same),
        ("new", "new model", None, "ml-1m", 1, *same),
    ]
    assert rows(world, "SELECT n_seeds FROM mart.leaderboard ORDER BY model") == [(1,), (1,)]


def test_slices_are_of_published_trainings_and_of_three_kinds(world, add):
    add("good")
    add("bad", seed=2, status="failed")
    for run in ("good", "bad"):
        for place, name in enumerate(("history", "popularity", "season", "short_history")):
            world.execute(
                "INSERT INTO mart.run_slices"
                " VALUES (?, 'test', 'full', ?, '1: some', ?, 0.25, 0.125, 7)",
                [run, name, place / 8],
            )
    found = rows(world, "FROM mart.slices ORDER BY slice")
    beginning = ("good", "sas_fpt", "paper", 0, "5", "test", "full")
    assert found == [
        (*beginning, "history", "1: some", 0.0, 0.25, 0.125, 7),
        (*beginning, "popularity", "1: some", 0.125, 0.25, 0.125, 7),
        (*beginning, "season", "1: some", 0.25, 0.25, 0.125, 7),
    ]


def test_the_leaderboard_is_of_latest_trainings_by_hand(world, add):
    add("old", figures=(0.9, 0.9, 0.9), publication=1)
    add("a", figures=(0.5, 0.25, 0.125), publication=2)
    add("b", figures=(0.7, 0.75, 0.625), seed=1)
    (row,) = rows(
        world,
        "SELECT recall, recall_sd, ndcg, ndcg_sd, mrr, mrr_sd, precision, precision_sd,"
        " n_seeds, n_users, least_recall, least_ndcg FROM mart.leaderboard",
    )
    apart = [x / math.sqrt(2) for x in (0.2, 0.5, 0.5, 0.02)]
    means = [0.6, 0.5, 0.375, 0.06]
    assert row[:8] == pytest.approx([x for pair in zip(means, apart, strict=True) for x in pair])
    assert row[8:] == (2, 7, 0.3, 0.4)


def warn(world, run_id: str, name: str, *of, accepted: bool = False) -> None:
    split, protocol, k = of or ("", "", None)
    world.execute(
        "INSERT INTO mart.run_warnings VALUES (?, ?, ?, ?, ?, '{}', 'audit', now()::TIMESTAMP,"
        " CASE WHEN ? THEN now()::TIMESTAMP END)",
        [run_id, name, split, protocol, k, accepted],
    )


def test_a_mark_is_of_one_figure_or_of_all_of_a_training(world):
    warn(world, "one", "odd", "test", "full", 5)
    assert rows(world, "FROM mart.marks") == [("one", "test", "full", 5, "odd", False)]
    warn(world, "all", "odd", accepted=True)
    found = rows(
        world, "SELECT split, protocol, k, name, accepted FROM mart.marks WHERE run_id = 'all'"
    )
    assert sorted(found) == sorted(
        (split, protocol, k, "odd", True)
        for split in ("valid", "test", "next")
        for protocol in ("uniform_100", "full")
        for k in (1, 5, 10, 20)
    )
    warn(world, "one", "odd", accepted=True)  # of all, beside one of a figure that is not
    accepted = rows(
        world, "SELECT accepted, count(*) FROM mart.marks WHERE run_id = 'one' GROUP BY 1"
    )
    assert sorted(accepted) == [(False, 1), (True, 23)]


def test_warnings_stand_at_their_own_figures(world, add):
    add("a")
    add("b", seed=1)
    of = ("test", "uniform_100", 10)
    warn(world, "a", "odd", *of)
    warn(world, "a", "leaky", *of, accepted=True)
    warn(world, "b", "odd", *of, accepted=True)
    for other in (("valid", *of[1:]), ("test", "full", 10), ("test", "uniform_100", 5)):
        warn(world, "a", "elsewhere", *other)
    found = dict(rows(world, "SELECT run_id, warnings FROM mart.metrics"))
    assert found == {"a": "leaky (accepted), odd", "b": "odd (accepted)"}
    # accepted of every seed, or not at all
    assert rows(world, "SELECT warnings FROM mart.leaderboard") == [("leaky (accepted), odd",)]


def test_the_papers_gap_is_of_the_papers_own_setting(world, add):
    add("a", figures=(0.81, 0.5702, 0.1))
    add("b", snapshot="0", figures=(0.9, 0.5, 0.1))
    add("c", "sasrec")  # not in the paper's tables
    add("d", snapshot="day")
    add("e", snapshot="other")
    for number, of in enumerate(
        [("valid", "uniform_100", 10), ("test", "full", 10), ("test", "uniform_100", 5)]
    ):
        add(f"f{number}", "tisasrec", of=of)
    found = rows(world, "FROM mart.paper_gap ORDER BY retention")
    assert [(*row[:4], row[5], row[12]) for row in found] == [
        ("5-core", "sas_fpt", "SAS-FPT", "paper", 1, True),
        ("cold-start", "sas_fpt", "SAS-FPT", "paper", 1, False),
    ]
    assert found[0][6:12] == pytest.approx((0.8056, 0.81, 0.0044, 0.5702, 0.5702, 0.0), abs=1e-12)
    assert found[1][6:12] == pytest.approx((0.803, 0.9, 0.097, 0.5778, 0.5, -0.0778))


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        ("5", {"recall_10": 0.8056 - 0.8002, "ndcg_10": 0.5702 - 0.5630, "mrr_10": None}),
        (
            "0",
            {"recall_10": None, "ndcg_10": None, "mrr_10": None},
        ),  # the paper has no such rung there
        ("other", {"recall_10": None, "ndcg_10": None, "mrr_10": None}),
    ],
)
def test_a_rung_stands_beside_the_papers_difference(world, add, snapshot, expected):
    add("a", "sas_fpt", snapshot)
    add("b", "tisasrec_plus_plus", snapshot)
    add("c", "sasrec", snapshot)  # not a rung of either
    pairs = [("a", "a"), ("b", "b"), ("c", "c"), ("a", "b"), ("a", "c"), ("b", "c")]
    for metric in ("recall_10", "ndcg_10", "mrr_10"):
        for protocol in ("uniform_100", "full"):
            for one, other in pairs:
                world.execute(
                    "INSERT INTO mart.run_pairs VALUES (?, ?, 'test', ?, ?, ?, 2, 7)",
                    [one, other, protocol, metric, 0 if one == other else 7],
                )
    found = rows(
        world,
        "SELECT model, baseline, protocol, metric, paper_difference, difference, dataset, retention"
        " FROM mart.ladder ORDER BY protocol, metric",
    )
    metrics = ("mrr_10", "ndcg_10", "recall_10")
    wanted = [(protocol, metric) for protocol in ("full", "uniform_100") for metric in metrics]
    assert [row[2:4] for row in found] == wanted
    assert {row[:2] for row in found} == {("sas_fpt", "tisasrec_plus_plus")}
    for row in found:
        value = expected[row[3]] if row[2] == "uniform_100" else None
        assert row[4] is None if value is None else row[4] == pytest.approx(value)
        assert row[5] == pytest.approx(1.0)


def test_figures_of_trainings_that_are_gone_are_tidied_up(world, add):
    """And pairs with one that another replaced; each of the two may be the one."""
    add("good")
    add("old", seed=1, publication=1)
    add("new", seed=1, publication=2)
    add("bad", seed=2, status="failed")
    runs = ("good", "old", "new", "bad", "gone")
    for run in runs:
        world.execute(
            "INSERT INTO mart.run_slices VALUES (?, 's', 'p', 'history', '1', 0, 0, 0, 1)", [run]
        )
        for other in runs:
            world.execute(
                "INSERT INTO mart.run_pairs VALUES (?, ?, 's', 'p', 'm', 0, 0, 1)", [run, other]
            )
    world.execute(
        "INSERT INTO mart.run_metrics"
        " SELECT * REPLACE ('gone' AS run_id) FROM mart.run_metrics LIMIT 1"
    )
    world.execute(statements("figures/tidy"))
    for table in ("run_metrics", "run_slices"):
        found = rows(world, f"SELECT DISTINCT run_id FROM mart.{table}")
        assert sorted(found) == [("good",), ("new",), ("old",)]
    found = rows(world, "SELECT run_id, other_id FROM mart.run_pairs")
    assert sorted(found) == [(one, other) for one in ("good", "new") for other in ("good", "new")]


def test_what_is_missing_is_of_one_snapshot_and_not_there_yet(world, add):
    add("a", figures=None)
    add("b", seed=1, figures=None)
    add("c", seed=2)
    add("d", seed=3, status="failed", figures=None)
    add("e", snapshot="0", figures=None)
    add("f", preset="best", figures=None)
    world.execute("INSERT INTO mart.run_pairs VALUES ('a', 'b', 'test', 'full', 'm', 0, 0, 1)")
    runs = world.execute(statements("figures/runs"), ["5"]).fetchall()
    assert runs == [("a",), ("b",), ("f",)]
    pairs = world.execute(statements("figures/pairs"), ["5"]).fetchall()
    of_paper = [("a", "a"), ("a", "c"), ("b", "b"), ("b", "c"), ("c", "c")]
    assert pairs == [("best", "f", "f"), *(("paper", *pair) for pair in of_paper)]

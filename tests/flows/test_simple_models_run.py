"""Simple models through the whole pipeline: trained, audited, published, asked; real figures."""

import json
from pathlib import Path

import duckdb
import pytest
import torch

from fpt_model.data.sequences import load
from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.popularity import popularity
from fpt_model.evaluation.ranks import rank
from fpt_model.files.finished import read_record
from fpt_model.simple.models import MODELS, Fitted
from fpt_model.simple.past import past_of
from fpt_model.simple.settings import SIMPLE, resolve_simple


@pytest.fixture
def answers(copy, fpt, lasting):
    """`fpt train --json` of the simple models on the data of `copy`, then questions to it."""
    models = [word for slug in SIMPLE for word in ("--model", slug)]
    words = ("train", *models, "--seeds", 2, "--preset", "quick", "--json")
    done = fpt(*words, home=copy, told=lasting)
    assert done.code == 0, done.err

    def ask(query: str) -> list[tuple]:
        with duckdb.connect(str(copy / "published.duckdb"), read_only=True) as connection:
            return connection.execute(query).fetchall()

    return ask


@pytest.mark.slow
def test_simple_models_are_trained_once_published_and_compared(answers, copy, fpt, lasting):
    runs = answers(
        "SELECT model, seed, json_extract(config, '$.chosen') IS NOT NULL FROM mart.training_runs"
        f" WHERE model IN {tuple(SIMPLE)} ORDER BY model"
    )
    assert runs == [(model, 0, True) for model in sorted(SIMPLE)]  # whatever --seeds says
    names = answers("SELECT DISTINCT model FROM leaderboard ORDER BY 1")
    assert {name for (name,) in names} >= {one.display_name for one in SIMPLE.values()}
    assert answers("SELECT count(*) FROM mart.epochs WHERE train_loss IS NULL") == [(len(SIMPLE),)]
    ((compared,),) = answers(
        "SELECT count(DISTINCT model) FROM mart.significance WHERE best_simple"
    )
    assert compared == len(SIMPLE) + 1  # SAS-FPT, SASRec, and the other simple ones
    told = json.loads(fpt("recommend", "--user", "1", "--model", "ridge", "--json", home=copy).out)
    assert told
    refused = fpt("explain", "1", "--model", "ridge", home=copy)
    assert refused.code == 2
    assert "Ridge can't be explained: it is a simple model" in " ".join(refused.err.split())

    best = json.loads(fpt("recommend", "--user", "1", "--json", home=copy).out)
    assert best[0]["model"] in {
        one.display_name for one in SIMPLE.values()
    }  # tiny neural ones here
    explained = json.loads(fpt("explain", "1", "--json", home=copy).out)
    assert explained[0]["model"] in ("SASRec", "SAS-FPT")

    (run_id,) = answers("SELECT run_id FROM mart.training_runs WHERE model = 'ridge'")[0]
    before = read_record(copy / "runs" / run_id)
    (copy / "runs" / run_id / "run.json").unlink()
    mended = fpt("doctor", "--mend", home=copy)
    after = read_record(copy / "runs" / run_id)
    assert after["chosen"] == before["chosen"] == dict(SIMPLE["ridge"].settings), mended.err
    assert after["config"] == before["config"]
    again = fpt("train", "--model", "ridge", "--preset", "quick", home=copy, told=lasting)
    assert "1 training: unchanged, published before" in again.err


@pytest.mark.slow
def test_a_simple_model_is_trained_beside_changed_ones(copy, fpt, lasting):
    """It is called as they are, so that tables compare them; its own settings are the preset's."""
    models = ("--model", "sasrec", "--model", "recent_popularity")
    words = ("train", *models, "--set", "epochs=1", "--preset", "quick", "--json")
    done = fpt(*words, home=copy, told=lasting)
    assert done.code == 0, done.err
    with duckdb.connect(str(copy / "published.duckdb"), read_only=True) as connection:
        runs = connection.execute(
            "SELECT model FROM mart.training_runs WHERE preset = 'quick epochs=1' ORDER BY 1"
        ).fetchall()
    assert runs == [("recent_popularity",), ("sasrec",)]


@pytest.fixture(scope="session")
def movielens(real_archive, fpt, lasting, tmp_path_factory) -> Path:
    """The 5-core sequences of MovieLens-1M, restored."""
    home = tmp_path_factory.mktemp("movielens")
    source = real_archive("ml-1m-restored.zip")
    for words in (("ingest", "--dataset", "ml-1m", "--source", source), ("prepare",)):
        assert fpt(*words, home=home, told=lasting).code == 0
    (path,) = (home / "sequences").glob("*.parquet")
    return path


# Test, recall@10 and NDCG@10 among 100 sampled items and among all; by another implementation.
FIGURES = {
    ("recent_popularity",): (0.4598, 0.2597, 0.0545, 0.0280),
    ("als", "regularisation=1"): (0.6475, 0.4018, 0.0983, 0.0504),
    ("item_knn", "neighbours=20", "half_life=0"): (0.6421, 0.3780, 0.0858, 0.0428),
    ("item_knn",): (0.6662, 0.4494, 0.1805, 0.1007),
    ("ease", "penalty=200", "half_life=0"): (0.6634, 0.4152, 0.1089, 0.0535),
    ("ease",): (0.7026, 0.5113, 0.2258, 0.1246),
    ("markov_chain", "lags=1", "prior=1"): (0.6419, 0.4594, 0.2144, 0.1259),
    ("markov_chain",): (0.7339, 0.5353, 0.2624, 0.1557),
    ("ridge",): (0.7267, 0.5429, 0.2763, 0.1621),
}


@pytest.mark.slow
def test_figures_on_movielens_are_those_of_the_definitions(movielens):
    torch.set_num_threads(1)
    sequences = load(movielens)
    past, longest = past_of(sequences), int(sequences.lengths.max())
    scorers = {("popularity",): (popularity(sequences), 1)}
    for model, *changed in FIGURES:
        config = resolve_simple(model, "quick", dict(word.split("=") for word in changed))
        fitted = Fitted(config, MODELS[model].fit(past, config))
        scorers[model, *changed] = (fitted.scorer(), fitted.length or longest)
    expected = FIGURES | {("popularity",): (0.4374, 0.2381, 0.0369, 0.0180)}
    for name, (score, length) in scorers.items():
        ranks = rank(score, sequences, "test", length).ranks.values()
        found = [metric(one, 10) for one in ranks for metric in (recall, ndcg)]
        assert found == pytest.approx(expected[name], abs=0.005), name

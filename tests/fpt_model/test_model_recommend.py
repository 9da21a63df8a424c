"""What comes next and why: against naive computations, for known and for unseen users."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fpt_model.config import Config
from fpt_model.data.histories import read_histories, windows_of
from fpt_model.data.sequences import load
from fpt_model.files.written import read_written
from fpt_model.model.intervals import interval_rows
from fpt_model.serving.explain import attention_of
from fpt_model.serving.recommend import best
from fpt_model.training.ranking import load_model

ONE = {"item_ids": [1], "timestamps": [1], "weeks": [1], "time_scale": 1}


def test_padding_has_weights_where_a_model_looks_there(small_config, encoder, random_windows):
    """All that is before the last place has, as if it lay one unit before the first."""
    config = small_config("tisasrec", max_length=6, mask="queries")
    model, windows = encoder(config), random_windows(5, batch=4)
    padded = windows.items == 0
    assert padded.any()
    weights = attention_of(model, windows)
    torch.testing.assert_close(weights.sum(3), torch.ones(4, 2, 1, dtype=torch.float64))
    assert (weights[:, :, 0][padded[:, None].expand(-1, 2, -1)] > 0).all()
    with torch.no_grad():  # of the first block, whose padded inputs are zero
        block = model.blocks[0]
        x = model._embed(windows) * ~padded[..., None]
        times = torch.where(padded, -windows.scales[:, None], windows.times)
        gaps = (windows.query_times[:, -1:] - times) // windows.scales[:, None]
        rows = interval_rows(gaps, config.time_span, model.edges)
        keys = block.key(x) + model.positions[0] + model.intervals[0][rows]  # (B, T, D)
        query = block.query(block.norm_attention(x[:, -1]))  # (B, D)
        naive = (keys @ query[:, :, None])[..., 0] / math.sqrt(query.shape[1])
    torch.testing.assert_close(weights[:, 0, 0], naive.softmax(1))


def test_the_best_are_unseen_and_equal_ones_stand_by_item():
    scores = torch.tensor([[9.0, 1.0, 3.0, 3.0, 2.0], [9.0, 5.0, 4.0, 3.0, 2.0]])
    values, items = best(scores, [torch.tensor([4]), torch.tensor([1, 2, 3])], 3)
    assert items[0].tolist() == [2, 3, 1]
    assert values[0].tolist() == [3.0, 3.0, 1.0]
    assert items[1, 0] == 4
    assert values[1].tolist() == [2.0, -math.inf, -math.inf]


def test_of_equal_scores_at_the_cut_the_first_items_stay():
    _, items = best(torch.zeros(2, 103), [torch.tensor([2]), torch.tensor([], dtype=torch.long)], 4)
    assert items.tolist() == [[1, 3, 4, 5], [1, 2, 3, 4]]


@st.composite
def scored(draw) -> tuple[list[list[float]], list[list[int]], int]:
    """Scores with many ties, padding's the highest; what each user has seen; how many are asked."""
    n_items = draw(st.integers(1, 12))
    score = st.sampled_from([-0.0, 0.0, -1.5, 2.0, 3e38])
    scores = st.lists(score, min_size=n_items, max_size=n_items).map(lambda row: [3e38, *row])
    rows = draw(st.lists(scores, min_size=1, max_size=4))
    seen = st.lists(st.integers(1, n_items), unique=True)
    return rows, [draw(seen) for _ in rows], draw(st.integers(1, n_items + 3))


@given(scored())
def test_the_best_are_those_of_a_stable_sort_of_everything(asked):
    rows, seen, top = asked
    values, items = best(
        torch.tensor(rows), [torch.tensor(one, dtype=torch.long) for one in seen], top
    )
    assert values.shape == items.shape == (len(rows), min(top, len(rows[0]) - 1))
    for row, history, found, named in zip(rows, seen, values, items, strict=True):
        left = [item for item in range(1, len(row)) if item not in history]
        naive = sorted(left, key=lambda item: -row[item])[:top]
        real = found > -math.inf
        assert named[real].tolist() == naive
        assert found[real].tolist() == torch.tensor([row[item] for item in naive]).tolist()
        assert not set(named[~real].tolist()) - set(history)


@pytest.mark.parametrize("clock", ["seconds", "places", "steps"])
@pytest.mark.parametrize("time_reference", ["last", "query"])
def test_windows_of_known_users_are_those_of_the_sequences(
    time_reference, clock, learnable, tmp_path
):
    looks_back = Config("sas_fpt", "paper", time_reference=time_reference, clock=clock)
    sequences = load(learnable)
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps([{"user_id": user} for user in range(1, sequences.n_users + 1)]))
    ours = windows_of(read_histories(asked, sequences), 8, looks_back)
    rows = torch.arange(sequences.n_users)
    theirs = sequences.as_seen_by(looks_back).windows(rows, sequences.lengths, 8)
    same = ("items", "times", "weeks", "ratings", "scales", "query_times", "users", "gaps")
    for name in same:
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


def test_ratings_of_a_history_by_hand_are_known_or_not(learnable, tmp_path):
    given = {"item_ids": [3, 1], "timestamps": [60, 90], "weeks": [4, 5], "time_scale": 30}
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps([given, given | {"ratings": [9, 0]}]))
    looks_back = Config("sas_fpt", "paper", time_reference="query")
    windows = windows_of(read_histories(asked, load(learnable)), 3, looks_back)
    assert windows.ratings.tolist() == [[0, 0, 0], [0, 9, 0]]
    assert windows.weeks.tolist() == [[0, 5, 5], [0, 5, 5]]


@pytest.fixture
def trained(learnable, train_small, tmp_path):
    run = tmp_path / "run"
    assert train_small(learnable, run, rating_width=4).code == 0
    return learnable, run


@pytest.fixture
def ask(trained, run_command, tmp_path):
    """The rows that a command answers to objects of a request."""
    path, run = trained

    def go(command: str, asked: list[dict], *words: object) -> list[dict]:
        request, output = tmp_path / "asked.json", tmp_path / "answer.parquet"
        request.write_text(json.dumps(asked))
        ended = run_command(
            *(command, "--sequences", path, "--run", run, "--asked", request),
            *("--output", output, "--device", "cpu", *words),
        )
        assert ended.code == 0, ended.stderr
        return read_written(output)[0].to_pylist()

    return go


def test_recommendations_equal_a_naive_computation(trained, ask):
    path, run = trained
    sequences = load(path)
    model = load_model(run, sequences).eval()
    rows = ask("recommend", [{"user_id": 3}, {"user_id": 1}], "--top", 5)
    assert [(row["asked"], row["rank"]) for row in rows] == [
        (asked, rank) for asked in (0, 1) for rank in range(1, 6)
    ]
    for asked, user in enumerate((3, 1)):
        row = torch.tensor([user - 1])
        windows = sequences.windows(row, sequences.lengths[row], model.config.max_length)
        with torch.no_grad():
            scores = model.score_all(model(windows)[:, -1])[0].numpy()
        history = sequences.items[sequences.starts[user - 1] : sequences.starts[user]].tolist()
        naive = sorted(set(range(1, 31)) - set(history), key=lambda item: -scores[item])[:5]
        ours = [row for row in rows if row["asked"] == asked]
        assert [row["item_id"] for row in ours] == naive
        np.testing.assert_allclose([row["score"] for row in ours], scores[naive], rtol=1e-4)


def test_a_given_history_is_answered_like_that_of_an_unseen_user(trained, ask, learnable_rows):
    """User 26 has a single interaction, hence no training part: the same history by hand."""
    names = ("item_ids", "timestamps", "weeks", "ratings")
    given = {name: learnable_rows[25][name] for name in names}
    rows = ask("recommend", [{"user_id": 26}, given | {"time_scale": 1}], "--top", 29)
    one, other = ([row for row in rows if row["asked"] == asked] for asked in (0, 1))
    assert len(one) == 29
    assert [row["item_id"] for row in one] == [row["item_id"] for row in other]
    assert given["item_ids"][0] not in {row["item_id"] for row in one}


def test_an_explanation_says_item_time_and_weight(trained, ask, learnable_rows):
    sequences = load(trained[0])
    user = next(u for u in range(1, 25) if sequences.lengths[u - 1] > 8)  # longer than the window
    rows = ask("explain", [{"user_id": 2}, {"user_id": user}])
    history = learnable_rows[user - 1]
    length = len(history["item_ids"])
    for block in (1, 2):
        ours = [row for row in rows if row["asked"] == 1 and row["block"] == block]
        assert [row["position"] for row in ours] == list(range(length - 7, length + 1))
        assert [row["item_id"] for row in ours] == history["item_ids"][-8:]
        ends = history["timestamps"][-1]
        assert [row["seconds_before"] for row in ours] == [
            ends - time for time in history["timestamps"][-8:]
        ]
        assert sum(row["weight"] for row in ours) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([], "asks about nobody"),
        ([{"user_id": 27}], "No such user: got 27, expected 1 to 26"),
        ([{"user_id": 0}], "No such user"),
        ([{"name": "x"}], "KeyError"),
        ({"user_id": 1}, "asks about no users"),
        ([{"item_ids": [31], "timestamps": [1], "weeks": [1], "time_scale": 1}], "items outside"),
        ([{"item_ids": [1], "timestamps": [1], "weeks": [53], "time_scale": 1}], "weeks outside"),
        ([ONE | {"ratings": [11]}], "ratings outside 0 to 10"),
        ([ONE | {"ratings": [-1]}], "ratings outside 0 to 10"),
        ([ONE | {"ratings": [5, 5]}], "uneven"),
        ([{"item_ids": [], "timestamps": [], "weeks": [], "time_scale": 1}], "empty"),
        ([{"item_ids": [1, 2], "timestamps": [2, 1], "weeks": [1, 1], "time_scale": 1}], "go back"),
        ([{"item_ids": [1], "timestamps": [1], "weeks": [1], "time_scale": 0}], "time scale"),
    ],
)
def test_a_wrong_request_is_refused_in_words(asked, words, trained, run_command, tmp_path):
    request = tmp_path / "asked.json"
    request.write_text(json.dumps(asked))
    ended = run_command(
        *("recommend", "--sequences", trained[0], "--run", trained[1], "--asked", request),
        *("--output", tmp_path / "top.parquet"),
    )
    assert ended.code == 2
    assert words in ended.stderr
    assert not (tmp_path / "top.parquet").exists()

"""Simple models against their definitions, worked out by loops over dense matrices."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

from fpt_model.data.sequences import Sequences
from fpt_model.errors import ModelError
from fpt_model.simple import item_knn, memory, rows
from fpt_model.simple.models import MODELS, Fitted, tries
from fpt_model.simple.past import Past, past_of
from fpt_model.simple.settings import SIMPLE, SimpleConfig, choices, resolve_simple

N_ITEMS = 30


def sequences_of(histories: list[list[int]], n_items: int = N_ITEMS) -> Sequences:
    """Sequences of whole histories, of which the last two items are held out."""
    lengths = [len(items) for items in histories]
    flat = torch.tensor([item for items in histories for item in items])
    zeros = torch.zeros(len(flat), dtype=torch.int64)
    nobody = torch.zeros(len(histories), 100, dtype=torch.int64)
    return Sequences(
        snapshot_id="abc", sha256="", values="", n_items=n_items,
        items=flat, times=zeros, weeks=zeros + 1, ratings=zeros, query_times=zeros,
        starts=torch.tensor([0, *np.cumsum(lengths)]),
        n_train=torch.tensor([n - 2 if n > 2 else n for n in lengths]),
        scales=torch.ones(len(histories), dtype=torch.int64),
        candidates={"valid": nobody, "test": nobody},
    )  # fmt: skip


def scores_after(config: SimpleConfig, histories: list[list[int]], profiles: list[list[int]]):
    """What a model that is fitted on histories scores after profiles, (B, I + 1)."""
    fitted = Fitted(config, MODELS[config.model].fit(past_of(sequences_of(histories)), config))
    ours = sequences_of([[*items, 1, 1] for items in profiles])
    users = torch.arange(len(profiles))
    length = fitted.length or max(map(len, profiles))
    return fitted.scorer()(ours.windows(users, ours.n_train, length)).double().numpy()


def weights(profile: list[int], half_life: float) -> np.ndarray:
    """(I + 1,) the profile with the latest item first."""
    found = np.zeros(N_ITEMS + 1)
    for n, item in enumerate(reversed(profile)):
        found[item] += 0.5 ** (n / half_life) if half_life else 1
    return found


def had(histories: list[list[int]]) -> np.ndarray:
    """X, (N, I + 1), of training parts."""
    found = np.zeros((len(histories), N_ITEMS + 1))
    for user, items in enumerate(trained(histories)):
        found[user, items] = 1
    return found


def trained(histories: list[list[int]]) -> list[list[int]]:
    return [items[:-2] if len(items) > 2 else items for items in histories]


def by_knn(histories, profile, *, neighbours, half_life):
    gram = had(histories).T @ had(histories)
    similar = np.zeros_like(gram)
    for i in range(1, N_ITEMS + 1):
        for j in range(1, N_ITEMS + 1):
            if i != j and gram[i, j]:
                similar[i, j] = gram[i, j] / np.sqrt(gram[i, i] * gram[j, j])
    scores = np.zeros(N_ITEMS + 1)
    for j in range(1, N_ITEMS + 1):
        nearest = sorted(range(1, N_ITEMS + 1), key=lambda i: (-similar[j, i], i))
        nearest = nearest[:neighbours] if neighbours else nearest
        scores[j] = sum(weights(profile, half_life)[i] * similar[j, i] for i in nearest)
    return scores


def by_ease(histories, profile, *, penalty, half_life):
    gram = had(histories)[:, 1:].T @ had(histories)[:, 1:]
    inverse = np.linalg.inv(gram + penalty * np.eye(N_ITEMS))
    b = np.eye(N_ITEMS) - inverse @ np.diag(1 / np.diag(inverse))
    return np.concatenate([[0], weights(profile, half_life)[1:] @ b])


def by_chain(histories, profile, *, lags, prior, decay):
    parts = trained(histories)
    total = sum(len(items) for items in parts)
    popularity = np.zeros(N_ITEMS + 1)
    for items in parts:
        for item in items:
            popularity[item] += 1 / total
    scores = np.zeros(N_ITEMS + 1)
    for lag in range(1, min(lags, len(profile)) + 1):
        counts = np.zeros(N_ITEMS + 1)
        for items in parts:
            for place in range(len(items) - lag):
                if items[place] == profile[-lag]:
                    counts[items[place + lag]] += 1
        scores += decay ** (lag - 1) * (counts + prior * popularity) / (counts.sum() + prior)
    return scores


def by_ridge(histories, profile, *, half_life, penalty):
    inputs, targets = [], []
    for items in trained(histories):
        for place in range(1, len(items)):
            inputs.append(weights(items[max(0, place - 50) : place], half_life)[1:])
            targets.append(np.eye(N_ITEMS)[items[place] - 1])
    s, t = np.array(inputs).reshape(-1, N_ITEMS), np.array(targets).reshape(-1, N_ITEMS)
    w = np.linalg.inv(s.T @ s + penalty * np.eye(N_ITEMS)) @ s.T @ t
    return np.concatenate([[0], weights(profile[-50:], half_life)[1:] @ w])


NAIVE = {
    "item_knn": (
        by_knn,
        [
            {"neighbours": 0, "half_life": 1.0},
            {"neighbours": 3, "half_life": 2.0},
            {"neighbours": 2, "half_life": 0.0},
        ],
    ),
    "ease": (
        by_ease,
        [{"penalty": 500.0, "half_life": 5.0}, {"penalty": 0.5, "half_life": 0.0}],
    ),
    "markov_chain": (
        by_chain,
        [
            {"lags": 1, "prior": 1.0, "decay": 1.0},
            {"lags": 20, "prior": 50.0, "decay": 0.8},
            {"lags": 3, "prior": 0.5, "decay": 0.5},
        ],
    ),
    "ridge": (
        by_ridge,
        [{"half_life": 5.0, "penalty": 200.0}, {"half_life": 0.0, "penalty": 0.5}],
    ),
}


def by_als(histories, profile, *, factors, iterations, regularisation, alpha):
    """The package's own scores for a user that it solves for again."""
    model = AlternatingLeastSquares(
        factors=factors, iterations=iterations, regularization=regularisation, alpha=alpha,
        random_state=0, num_threads=1,
    )  # fmt: skip
    model.fit(csr_matrix(had(histories)), show_progress=False)
    own = np.zeros((1, N_ITEMS + 1), np.float32)
    own[0, profile] = 1
    scores = model.recalculate_user([0], csr_matrix(own))[0] @ model.item_factors.T
    return scores.astype(np.float64) * (np.arange(N_ITEMS + 1) > 0)


ALS = {"factors": 4, "iterations": 3, "regularisation": 0.5}
BPR = {"factors": 4, "iterations": 3, "regularisation": 0.01, "learning_rate": 0.05}
NAIVE["als"] = (by_als, [{**ALS, "alpha": 1.0}, {**ALS, "alpha": 4.0}])
CASES = [(model, one) for model, (_, cases) in NAIVE.items() for one in cases]
HISTORY = st.lists(st.integers(1, N_ITEMS), min_size=1, max_size=12, unique=True)


@settings(max_examples=12, deadline=None)
@given(histories=st.lists(HISTORY, min_size=2, max_size=8), profile=HISTORY)
@pytest.mark.parametrize(("model", "given_settings"), CASES)
def test_scores_are_those_of_the_definition(model, given_settings, histories, profile):
    config = resolve_simple(model, "quick", given_settings)
    found = scores_after(config, histories, [profile, profile[:1]])
    for row, one in zip(found, (profile, profile[:1]), strict=True):
        expected = NAIVE[model][0](histories, one, **given_settings)
        assert row[1:] == pytest.approx(expected[1:], abs=2e-5)


def test_a_window_of_fifty_items_is_what_the_ridge_sees_of_a_long_history():
    chance = np.random.default_rng(3)
    histories = [[int(item) for item in chance.integers(1, N_ITEMS + 1, 130)] for _ in range(2)]
    own = {"half_life": 30.0, "penalty": 2.0}
    found = scores_after(resolve_simple("ridge", "quick", own), histories, [histories[0]])[0]
    assert found[1:] == pytest.approx(by_ridge(histories, histories[0], **own)[1:], abs=2e-5)


def test_by_hand():
    # training parts 1 2 3, 2 3, and 4 alone, which nobody is asked about
    histories = [[1, 2, 3, 8, 9], [2, 3, 8, 9], [4]]
    chain = resolve_simple("markov_chain", "quick", {"lags": 1, "prior": 1.0})
    (after_2,) = scores_after(chain, histories, [[2]])
    # twice 3 of 2 after 2; of 6 training interactions 2 are of 3 and 1 is of 4
    assert after_2[[3, 4, 8]] == pytest.approx([(2 + 2 / 6) / 3, (1 / 6) / 3, 0])
    knn = resolve_simple("item_knn", "quick", {"half_life": 1.0})
    (after_1_2,) = scores_after(knn, histories, [[1, 2]])
    # 3 is with 2 for both who have either, with 1 once: 2 / sqrt(2 2) + 1 / 2 of 1 / sqrt(1 2)
    assert after_1_2[3] == pytest.approx(1 + 0.5 / np.sqrt(2))
    assert after_1_2[[4, 8]].tolist() == [0, 0]
    recent = resolve_simple("recent_popularity", "quick", {"latest": 2})
    (any_,) = scores_after(recent, histories, [[1]])
    assert any_[[1, 2, 3, 4, 8]].tolist() == [0, 2, 2, 1, 0]


@pytest.mark.parametrize("model", SIMPLE)
def test_held_out_items_are_not_fitted_on(model):
    config = resolve_simple(model, "quick")
    parts = [[1, 2, 3, 4], [3, 4, 5], [2, 9]]
    one, other = (
        MODELS[model].fit(past_of(sequences_of([[*part, *ends] for part in parts])), config)
        for ends in ([6, 7], [8, 1])
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_similar_items_that_tie_at_the_cut_are_taken_by_number():
    past = Past(np.array([1, 2, 3, 4]), np.array([0, 4]), 4)
    config = resolve_simple("item_knn", "quick", {"neighbours": 2})
    similar = rows.rows_of(item_knn.fit(past, config), 5).dense(np.arange(5)).numpy()
    # by column: 1 has 2 and 3, 2 has 1 and 3, and so on
    assert [np.flatnonzero(column).tolist() for column in similar.T] == [
        [], [2, 3], [1, 3], [1, 2], [1, 2],
    ]  # fmt: skip


def test_rows_are_summed_in_parts_as_they_are_at_once(monkeypatch):
    histories = [[1, 2, 3, 4, 5, 6], [2, 4, 6, 8], [1, 3, 5]]
    config = resolve_simple("markov_chain", "quick")
    profiles = [[1, 2], [4], [6, 5, 3]]
    at_once = scores_after(config, histories, profiles)
    monkeypatch.setattr(rows, "AT_ONCE", 1)
    assert np.array_equal(scores_after(config, histories, profiles), at_once)


@pytest.mark.parametrize("model", ["ease", "ridge"])
def test_matrices_that_do_not_fit_are_refused_with_their_size(model, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 20_000)
    sequences = sequences_of([[1, 2, 3, 4, 5]])
    with pytest.raises(ModelError, match=r"does not fit the memory: got 0.0 GiB free, expected"):
        list(tries(sequences, resolve_simple(model, "quick")))
    for sparse in ("recent_popularity", "markov_chain"):
        assert len(list(tries(sequences, resolve_simple(sparse, "quick")))) == 1


def test_too_many_neighbours_are_refused_and_fewer_are_advised(monkeypatch):
    sequences = sequences_of([[*range(1, 31), 1, 2]])
    monkeypatch.setattr(memory, "free_bytes", lambda: 2 * 8 * 30 * 10)
    with pytest.raises(ModelError, match=r"fit the memory.* Keep fewer of each item: --set neigh"):
        list(tries(sequences, resolve_simple("item_knn", "quick")))
    few = resolve_simple("item_knn", "quick", {"neighbours": 10})
    assert len(list(tries(sequences, few))) == 1


def test_of_many_items_the_nearest_alone_are_kept(monkeypatch):
    sequences = sequences_of([[*range(1, 31), 1, 2], [*range(5, 20), 1, 2]])
    config = resolve_simple("item_knn", "quick")
    every = item_knn.fit(past_of(sequences), config)
    assert len(every["values"]) == 30 * 29
    monkeypatch.setattr(item_knn, "FEW", 29)
    monkeypatch.setattr(item_knn, "OF_MANY", 7)
    assert len(item_knn.fit(past_of(sequences), config)["values"]) == 30 * 7


def test_a_model_of_another_package_is_refused_where_that_is_missing(monkeypatch):
    monkeypatch.setattr("fpt_model.simple.settings.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="BPR needs a package that is not installed: expected imp"):
        list(tries(sequences_of([[1, 2, 3, 4]]), resolve_simple("bpr", "quick")))


def test_bpr_scores_whom_it_knows_by_their_own_vector_and_others_by_the_mean():
    config = resolve_simple("bpr", "quick", BPR)
    histories = [[1, 2, 3, 4, 8, 9], [20, 21, 22, 8, 9]] * 3
    model = BayesianPersonalizedRanking(
        factors=4, iterations=3, regularization=0.01, learning_rate=0.05,
        random_state=0, num_threads=1,
    )  # fmt: skip
    model.fit(csr_matrix(had(histories)), show_progress=False)
    expected = np.vstack([model.user_factors.mean(0), model.user_factors]) @ model.item_factors.T
    ours = sequences_of(histories)
    scorer = Fitted(config, MODELS["bpr"].fit(past_of(ours), config)).scorer()
    windows = ours.windows(torch.arange(6), ours.n_train, 1)
    assert scorer(windows).numpy() == pytest.approx(expected[1:], abs=1e-6)
    nobody = replace(windows, users=torch.zeros(6, dtype=torch.int64))
    assert scorer(nobody).numpy() == pytest.approx(np.tile(expected[0], (6, 1)), abs=1e-6)


def test_a_matrix_of_many_items_is_said_in_numbers():
    with pytest.raises(ModelError, match=r"GiB for 4 matrices of 1000000 x 1000000") as caught:
        memory.refuse_large("Ridge", 1_000_000, 4)
    assert "29802.4 GiB" in str(caught.value)  # 4 x 8 bytes x 1,000,001 squared


def test_free_memory_is_what_this_machine_can_give():
    assert 1 << 20 < memory.free_bytes() < 1 << 50


def test_the_grid_leaves_alone_what_was_given_by_hand():
    given_h = resolve_simple("ridge", "paper", {"half_life": 7.0})
    assert list(choices(given_h)) == [
        {"half_life": 7.0, "penalty": 200.0},
        {"half_life": 7.0, "penalty": 1000.0},
    ]
    assert len(list(choices(resolve_simple("ridge", "paper")))) == 6
    assert list(choices(resolve_simple("ridge", "quick"))) == [{"half_life": 5.0, "penalty": 200.0}]


def test_defaults_are_in_the_grid():
    for variant in SIMPLE.values():
        assert all(variant.settings[name] in values for name, values in variant.grid.items())


@pytest.mark.parametrize(
    ("model", "wrong", "says"),
    [
        ("ridge", {"lags": 3}, "Unknown setting: got 'lags', expected search or half_life"),
        ("markov_chain", {"lags": 0}, "lags is out of range: got 0, expected 1 to 200"),
        ("ease", {"penalty": 0}, "penalty is out of range"),
        ("item_knn", {"neighbours": "many"}, "neighbours is no int: got 'many'"),
    ],
)
def test_settings_that_cannot_be_are_refused(model, wrong, says):
    with pytest.raises(ModelError, match=says):
        resolve_simple(model, "quick", wrong)

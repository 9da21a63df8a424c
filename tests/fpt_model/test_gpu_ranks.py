"""One launch that ranks everybody, against the plain comparison."""

import os

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported

pytest.importorskip("triton", reason="Triton has no build for this platform")

from fpt_model.data.sequences import load
from fpt_model.engines.gpu import ranks
from fpt_model.engines.gpu.ranks import Candidates, compare
from fpt_model.errors import ModelError
from fpt_model.evaluation import ranks as evaluate

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
N_ITEMS = 30


@pytest.fixture(params=["first", "all"])
def sequences(request, learnable_rows, user, write_sequences):
    """Whoever took an item twice has met it once; or may take it a third time."""
    again = user([3, 5, 3, 3, 8, 5], valid_candidates=[1, 9], test_candidates=[])
    path = write_sequences([*learnable_rows, again], N_ITEMS, repeats=request.param)
    return load(path).to(DEVICE)


def random_scores(n: int, values: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(values)
    return torch.randint(values, (n, N_ITEMS + 1), generator=g).float().to(DEVICE)


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize(("values", "at_once"), [(1, 16), (3, 64), (1000, 16)])
def test_ranks_are_those_of_the_reference(sequences, split, values, at_once, monkeypatch):
    monkeypatch.setattr(ranks, "AT_ONCE", at_once)  # rows in several parts, or in one
    rows = evaluate.evaluated(sequences)
    scores = random_scores(len(rows), values)
    plain = evaluate.compare([(rows, scores)], sequences, split)
    parts = zip(rows.split(7), scores.split(7), strict=True)
    found = evaluate.joined(
        [
            compare(Candidates(sequences, some, split), own, evaluate.PROTOCOLS)
            for some, own in parts
        ]
    )
    assert torch.equal(found.users, plain.users)
    for protocol in evaluate.PROTOCOLS:
        assert torch.equal(found.ranks[protocol], plain.ranks[protocol])
        assert found.ranks[protocol].dtype == torch.float32
        assert torch.equal(found.n_candidates[protocol], plain.n_candidates[protocol])


def test_only_the_protocols_asked_for_are_there(sequences):
    rows = evaluate.evaluated(sequences)
    candidates = Candidates(sequences, rows, "valid")
    found = compare(candidates, random_scores(len(rows), 9), ("uniform_100",))
    assert set(found.ranks) == set(found.n_candidates) == {"uniform_100"}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("place", [(0, 0), (3, 1), (24, N_ITEMS)])
def test_a_score_that_is_no_number_is_refused(sequences, bad, place):
    rows = evaluate.evaluated(sequences)
    scores = random_scores(len(rows), 9)
    scores[place] = bad
    with pytest.raises(ModelError, match="A score is not a number"):
        compare(Candidates(sequences, rows, "test"), scores, evaluate.PROTOCOLS)

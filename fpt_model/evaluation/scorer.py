"""Scores of a model that was trained."""

from torch import Tensor

from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.evaluation.ranks import Scorer
from fpt_model.model.cold_start_users import ColdStartUsers
from fpt_model.model.encoder import Encoder


def scorer(model: Encoder, sequences: Sequences) -> Scorer:
    """Scores by the features of a window's last position; see `ColdStartUsers` for users without
    training.

    Args:
        model: its weights as they are now.
        sequences: what it was trained on.
    """
    unseen = ColdStartUsers(model, sequences)

    def score(windows: SequenceBatch) -> Tensor:
        model.eval()
        features = model(windows, latest=1, users=unseen.vectors(windows))
        return model.score_all(features[:, -1])

    return score

"""Scores of a model that was trained."""

from torch import Tensor

from fpt_model.data.sequences import Sequences, Windows
from fpt_model.evaluation.ranks import Scorer
from fpt_model.model.cold_users import Unseen
from fpt_model.model.encoder import Encoder


def scorer(model: Encoder, sequences: Sequences) -> Scorer:
    """Scores by the features of a window's last position; see `Unseen` for users without training.

    Args:
        model: its weights as they are now.
        sequences: what it was trained on.
    """
    unseen = Unseen(model, sequences)

    def score(windows: Windows) -> Tensor:
        model.eval()
        features = model(windows, latest=1, users=unseen.vectors(windows))
        return model.score_all(features[:, -1])

    return score

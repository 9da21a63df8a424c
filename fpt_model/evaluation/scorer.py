"""Scores of a model that was trained."""

from collections.abc import Callable

from torch import Tensor

from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.model.cold_start_users import ColdStartUsers
from fpt_model.model.encoder import Encoder


class EncoderScorer:
    """Scores by the features of a window's last position; see `ColdStartUsers` for users without
    training.

    Args:
        model: its weights as they are now.
        sequences: what it was trained on.
    """

    def __init__(self, model: Encoder, sequences: Sequences) -> None:
        self.model, self.unseen = model, ColdStartUsers(model, sequences)

    def __call__(self, windows: SequenceBatch) -> Tensor:
        """See `evaluation.ranks.Scorer`."""
        return self.model.score_all(self._features(windows))

    def of_some(self, windows: SequenceBatch) -> Callable[[Tensor], Tensor]:
        """See `evaluation.ranks.ScorerOfSome`."""
        features = self._features(windows)
        return lambda items: self.model.score(features[: len(items)], items)

    def _features(self, windows: SequenceBatch) -> Tensor:
        """(B, D)."""
        self.model.eval()
        return self.model(windows, latest=1, users=self.unseen.vectors(windows))[:, -1]


def scorer(model: Encoder, sequences: Sequences) -> EncoderScorer:
    """See `EncoderScorer`."""
    return EncoderScorer(model, sequences)

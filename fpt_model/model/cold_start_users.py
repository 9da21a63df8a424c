"""Users without training: they get a vector from those who had it, by what they have looked at.

A vector that no step has moved says nothing but its start. Whom that concerns: users with fewer
than two interactions to train on (three in all, of which two are held out), and user 0, as whom
everybody counts that the snapshot does not know.

Letters: B users of a batch, T window, N trained users, G groups, L interactions, W width.
"""

from functools import cached_property

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.model.encoder import Encoder
from fpt_model.model.user_groups import cluster


def has_cold_start_users(config: Config, sequences: Sequences) -> bool:
    """Whether somebody is ranked whose vector was not trained; `ColdStartUsers` gives it."""
    rows = sequences.evaluated()
    return bool(config.user_width and (sequences.n_train[rows] < 2).any())


class ColdStartUsers:
    """The vectors of users that a model was not trained on.

    With a group loss: the mean vector of the group whose members' mean item vector is nearest to
    that of the cold-start user's window. Otherwise the mean of all trained users, also with
    stochastic shared embeddings (SSE-PT), which train every vector as if it were anybody's.

    Args:
        model: its weights as they are now; later ones need another object.
        sequences: what it was trained on, on its device.
    """

    def __init__(self, model: Encoder, sequences: Sequences) -> None:
        self.model, self.sequences = model, sequences
        self.trained = sequences.trainable()  # (N,) rows
        self.is_trained = torch.zeros(
            sequences.n_users + 1, dtype=torch.bool, device=self.trained.device
        )
        self.is_trained[self.trained + 1] = True

    @torch.no_grad()
    def vectors(self, windows: SequenceBatch) -> Tensor | None:
        """Every user's vector, (B, user_width), a trained user's own; None where all are trained.

        Also None where the model has no user embedding.
        """
        users = self.model.users
        if users is None or bool(self.is_trained[windows.users].all()):
            return None
        own = users(windows.users)
        return torch.where(self.is_trained[windows.users, None], own, self._stand_ins(windows))

    def _stand_ins(self, windows: SequenceBatch) -> Tensor:
        """(B, W)."""
        tastes, vectors = self._groups
        return vectors[torch.cdist(self._mean_items(windows.items), tastes).argmin(1)]

    @cached_property
    def _groups(self) -> tuple[Tensor, Tensor]:
        """Mean item vector and mean user vector of each group, (G, item_width) and (G, W)."""
        assert self.model.users is not None
        config, vectors = self.model.config, self.model.users.weight[self.trained + 1]
        groups = torch.zeros(len(vectors), dtype=torch.int64, device=vectors.device)
        if config.group_weight and not config.sse_user:
            # those of a training are as good as its last refresh; these are of the weights now
            groups = cluster(vectors, config.groups, torch.Generator().manual_seed(0))
        members = torch.nn.functional.one_hot(groups).to(vectors.dtype)  # (N, G)
        members = members[:, members.any(0)]
        shares = (members / members.sum(0)).T  # (G, N)
        return shares @ self._tastes(), shares @ vectors

    def _tastes(self) -> Tensor:
        """Mean item vector of each trained user's training part, (N, item_width)."""
        ours, lengths = self.sequences, self.sequences.n_train[self.trained]
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
        first = torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
        place = torch.arange(len(owner), device=owner.device) - first  # (L,)
        items = ours.at("items", ours.starts[self.trained][owner] + place)
        return torch.nn.functional.embedding_bag(
            items, self.model.items.weight, lengths.cumsum(0) - lengths, mode="mean"
        )

    def _mean_items(self, items: Tensor) -> Tensor:
        """(B, T) with 0 where padded to (B, item_width)."""
        counts = (items > 0).sum(1, keepdim=True).clamp(min=1)
        return self.model.items(items).sum(1) / counts

"""A model of another library, and our ranks of its scores."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))  # a GPU machine's checkout is not installed
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic products need

import torch
from torch import Tensor

from fpt_model.data.sequences import Sequences, Split
from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.ranks import PROTOCOLS, Protocol, Ranks, Scored, compare, evaluated

if TYPE_CHECKING:
    from watches import Watch

USERS = 256  # ranked at a time
DEFAULT_THREADS = torch.get_num_threads()
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """How PyTorch computes.

    Attributes:
        threads: of its operations on the processor; None leaves what PyTorch chooses.
        deterministic: only deterministic algorithms.
        tf32: products of float32 may be rounded to TF32.
    """

    threads: int | None = None
    deterministic: bool = False
    tf32: bool = False

    def apply(self) -> None:
        """To this process."""
        torch.set_num_threads(self.threads or DEFAULT_THREADS)
        torch.use_deterministic_algorithms(self.deterministic)
        torch.set_float32_matmul_precision("high" if self.tf32 else "highest")

    @property
    def words(self) -> str:
        """
        >>> Setting(4, deterministic=True).words
        'float32, deterministic, 4 threads'
        """
        threads = (
            f"{self.threads} thread{'s' * (self.threads > 1)}" if self.threads else "its threads"
        )
        determined = ["deterministic"] if self.deterministic else []
        return ", ".join(["TF32" if self.tf32 else "float32", *determined, threads])


class Peer(ABC):
    """A model of another library.

    Args:
        sequences: on the device to train on.

    Attributes:
        own: how it is trained in its own tutorial.
        module: what is trained.
        optimizer: its own.
        steps: of an epoch.
        about: of the record, how it was configured.
    """

    own = Setting()
    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    steps: int
    about: Row

    def __init__(self, sequences: Sequences) -> None:
        self.sequences = sequences

    @abstractmethod
    def train(self, watch: "Watch") -> None:
        """Until the watch raises `Over`, or its epochs are done."""

    @abstractmethod
    def scores(self, rows: Tensor, split: Split) -> Tensor:
        """Of every item (B, I + 1) for users (B,), by what lies before the held-out item."""

    def close(self) -> None:  # noqa: B027
        """End what runs beside it, if anything does."""


@torch.no_grad()
def ranked(peer: Peer, split: Split, protocols: tuple[Protocol, ...] = PROTOCOLS) -> Ranks:
    """Our ranks of a peer's scores."""
    was_training = peer.module.training
    peer.module.eval()

    def batches() -> Iterator[Scored]:
        for rows in evaluated(peer.sequences).split(USERS):
            yield rows, peer.scores(rows, split).float()

    found = compare(batches(), peer.sequences, split, protocols)
    peer.module.train(was_training)
    return found


def quality(peer: Peer) -> Row:
    """Recall@10 and NDCG@10 of both splits and protocols."""
    found: Row = {}
    for split in ("valid", "test"):
        of = ranked(peer, split).ranks
        found[split] = {
            name: {"recall_10": recall(ranks, 10), "ndcg_10": ndcg(ranks, 10)}
            for name, ranks in of.items()
        }
    return found

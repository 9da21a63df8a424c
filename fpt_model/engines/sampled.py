"""A step with a sampled softmax: what it draws, looks up and learns.

Letters: B users, T sequence, K drawn items.
"""

from dataclasses import dataclass

from torch import Generator, Tensor

from fpt_model.config import Config
from fpt_model.data.negatives import SharedNegatives
from fpt_model.data.seen import FirstSeen
from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.engines.item_rows import ItemRows, LookedUp
from fpt_model.model.encoder import Dropout, Encoder
from fpt_model.model.fixed_point import embedding
from fpt_model.model.losses import sampled_softmax_loss


@dataclass(frozen=True)
class SampledBatch:
    """What a step is on.

    Attributes:
        windows: of B users, some ids replaced.
        looked: rows of all items that it needs.
        targets: (B, T) places among those rows, 0 where padded.
        drawn: (K,) likewise.
        log_expected: (K,), see `SharedNegatives`.
        seen: (B, T, K), which drawn items are left out; None where none is.
    """

    windows: SequenceBatch
    looked: LookedUp
    targets: Tensor
    drawn: Tensor
    log_expected: Tensor
    seen: Tensor | None


class Sampled:
    """What a training needs for such steps.

    Args:
        config: settings.
        sequences: on the device.
        rows: the item table.
    """

    def __init__(self, config: Config, sequences: Sequences, rows: ItemRows) -> None:
        self.rows = rows
        self.negatives = SharedNegatives(sequences, config.negatives)
        self.first_seen = FirstSeen(sequences) if config.exclude_seen else None

    def look_up(
        self,
        windows: SequenceBatch,
        targets: Tensor,
        owners: Tensor,
        generator: Generator | None = None,
    ) -> SampledBatch:
        """Draw items, and fetch the rows of all.

        Args:
            windows: of B users, some ids replaced.
            targets: (B, T).
            owners: (B,) whose windows they are.
            generator: to draw by; PyTorch's own when not given.
        """
        drawn, log_expected = self.negatives.draw(generator)
        looked = self.rows.look_up(windows.items, targets, drawn)
        seen = None
        if self.first_seen is not None:
            seen = self.first_seen.seen_before(owners, windows.next_positions, drawn)
        places = looked.places(targets), looked.places(drawn)
        return SampledBatch(windows, looked, *places, log_expected, seen)


def loss_of(model: Encoder, batch: SampledBatch, dropout: Dropout | None = None) -> Tensor:
    """Mean over the positions that have a target."""
    vectors = batch.looked.vectors
    items = embedding(vectors, batch.looked.places(batch.windows.items))
    features = model(batch.windows, items=items, dropout=dropout)
    return sampled_softmax_loss(
        features, vectors, batch.targets, batch.drawn, batch.log_expected, batch.seen
    )

"""Which tokens each step of an epoch has, known before its first one.

Letters: B sequences a step, N trainable users, T window.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.engines.gpu.features import of_items
from fpt_model.features import token_inputs
from fpt_model.model.encoder import Encoder

LARGEST = 2**31 - 1
ROWS = 4  # of `meta`: first token, first interaction, user, time scale


class Source:
    """Interactions that windows are cut from: int32 on the device, one after the other.

    Args:
        model: its settings, and what it knows of items.
        data: whose interactions.
        real: which of its places are some; all when not said.

    Attributes:
        numbers: of each input; of one with a number of each sequence those of the items, of one
            with numbers of each item `gpu.features.item_features`.
        targets: the item to be learnt after each interaction: the next one, or what an epoch gives.
    """

    def __init__(
        self, model: Encoder, data: Sequences | SequenceBatch, real: Tensor | None = None
    ) -> None:
        def column(name: str) -> Tensor:
            whole: Tensor = getattr(data, name)
            return (whole if real is None else whole[real]).long().clamp(max=LARGEST).int()

        numbers = {name: column(name) for name in token_inputs(model.config)}
        self.items = numbers["items"]
        features = [feature for feature, _ in model.tables()]
        numbers |= {one.name: of_items(model, one) for one in features if one.per == "item"}
        self.numbers = tuple(numbers.get(one.name, self.items) for one in features)
        self.times, self.query_times = column("times"), column("query_times")
        self.targets = self.items[1:]  # nothing is learnt after the last

    def own_targets(self) -> Tensor:
        """(interactions,) where epochs write what they teach; whoever reads targets finds it there.

        What has read them before must be told.
        """
        if self.targets.shape != self.items.shape:
            self.targets = torch.zeros_like(self.items)
        return self.targets


@dataclass(frozen=True)
class Plan:
    """Windows of all steps of an epoch.

    Attributes:
        steps: (steps, ROWS, B + 1) int32; see `fpt_model.engines.jagged.tokens`.
        tokens: of each step.
    """

    steps: Tensor
    tokens: list[int]


class Histories:
    """Where users' interactions are, kept on the CPU, where epochs are planned.

    Args:
        sequences: on any device.
    """

    def __init__(self, sequences: Sequences) -> None:
        self.starts = sequences.starts.cpu()
        self.scales = sequences.scales.clamp(max=LARGEST).cpu()

    def plan(self, rows: Tensor, ends: Tensor, length: int, batch: int) -> Plan:
        """An epoch over users `rows` (N,), in this order, up to `ends` (N,) of their histories."""
        n = -(-len(rows) // batch) * batch
        lengths = _filled(ends.clamp(max=length), n)
        begin = _filled(self.starts[rows] + ends - ends.clamp(max=length), n)
        by_step = [begin, _filled(rows + 1, n), _filled(self.scales[rows], n, 1)]
        counts = lengths.view(-1, batch)
        zero = torch.zeros(len(counts), 1, dtype=torch.int64)
        first = torch.cat([zero, counts.cumsum(1)], 1)  # (steps, B + 1)
        others = [torch.cat([values.view(-1, batch), zero], 1) for values in by_step]
        return Plan(torch.stack([first, *others], 1).int(), first[:, -1].tolist())


def _filled(values: Tensor, n: int, value: int = 0) -> Tensor:
    """(N,) filled up to n."""
    return torch.nn.functional.pad(values, (0, n - len(values)), value=value)

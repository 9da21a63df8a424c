"""What finished trainings teach another one: items drawn from the mean of their probabilities.

Distillation (Hinton, Vinyals & Dean, 2015) of an ensemble into one model of the same settings
(Furlanello et al., Born-again networks, 2018). Probabilities of all items at every interaction
would not fit anywhere; draws do, and a loss on draws is in expectation that on the probabilities.

Letters: L interactions, M draws, B windows, T window, N places, I items.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fpt_model.data.seen import seen_before
from fpt_model.data.sequences import SequenceBatch, Sequences
from fpt_model.engines.capturing import tf32_products
from fpt_model.model.encoder import Encoder

DRAWS = 64  # of each place; epochs take them in turn
AT_ONCE = 1 << 25  # scores


class Context(NamedTuple):
    """Windows, and how many of their latest places each speaks for.

    Attributes:
        rows: (B,) of users.
        ends: (B,) where they end, see `Sequences.windows`.
        latest: (B,) of the others another window sees more.
    """

    rows: Tensor
    ends: Tensor
    latest: Tensor


@torch.no_grad()
def draws(models: Sequence[Encoder], sequences: Sequences, seed: int) -> Tensor:
    """(L, M) items for what comes after each interaction of the training parts; 0 elsewhere.

    Items that the user has seen by then are not drawn, unless items come again.

    Args:
        models: teachers of the same settings, on the device of the sequences.
        sequences: as the teachers look back at them.
        seed: of the draws.
    """
    config, device = models[0].config, sequences.device
    wide = torch.int16 if sequences.n_items < 1 << 15 else torch.int32
    found = torch.zeros(len(sequences.items), DRAWS, dtype=wide, device=device)
    draw = torch.Generator(device).manual_seed(seed)
    longest = int(sequences.n_train.max())
    size = max(1, AT_ONCE // (config.max_length * (sequences.n_items + 1)))
    for model in models:
        model.eval()
    with tf32_products(device):
        for part in contexts(sequences, config.max_length, size):
            windows, place = _windows(sequences, part, config.max_length)
            seen = seen_before(sequences, windows.users, windows.next_positions, longest)[place]
            seen &= not sequences.comes_again
            features = [model(windows)[place] for model in models]
            total = torch.zeros(seen.shape, device=device)
            for model, own in zip(models, features, strict=True):
                scores = model.score_all(own).masked_fill(seen, -torch.inf)
                scores[:, 0] = -torch.inf
                total += scores.softmax(1)
            at = sequences.starts[windows.users - 1][:, None] + windows.next_positions - 1
            chosen = torch.multinomial(total, DRAWS, replacement=True, generator=draw)
            found[at[place]] = chosen.to(wide)
    return found


def contexts(sequences: Sequences, length: int, size: int) -> Iterator[Context]:
    """Windows, `size` at a time, so that each place sees all before it, or half a window at least.

    Those of about the same length come together.
    """
    rows, ends, latest = [], [], []
    trained = (sequences.n_train - 1).tolist()
    step = max(1, length // 2)
    for row in sequences.trainable().tolist():
        end = trained[row]
        while end > 0:
            rows.append(row)
            ends.append(end)
            latest.append(end if end <= length else step)
            end = end - step if end > length else 0
    whole = Context(*(torch.tensor(one, device=sequences.device) for one in (rows, ends, latest)))
    order = whole.ends.clamp(max=length).argsort(stable=True)
    for part in order.split(size):
        yield Context(*(one[part] for one in whole))


def _windows(
    sequences: Sequences, part: Context, length: int
) -> tuple[SequenceBatch, tuple[Tensor, Tensor]]:
    """Windows no longer than the longest of them, and the places (N,), (N,) that are asked for."""
    longest = int(part.ends.clamp(max=length).max())
    windows = sequences.windows(part.rows, part.ends, longest)
    steps = torch.arange(longest, device=sequences.device)
    asked = (steps >= longest - part.latest[:, None]) & (windows.items > 0)
    first, second = asked.nonzero(as_tuple=True)
    return windows, (first, second)

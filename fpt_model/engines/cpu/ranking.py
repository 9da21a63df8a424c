"""Ranks of held-out items, batches of users side by side on a CPU's threads."""

from functools import partial

import torch
from torch import Tensor

from fpt_model.config import Config
from fpt_model.data.sequences import Sequences, Split
from fpt_model.engines.cpu.by_item import by_item
from fpt_model.engines.cpu.forward_backward import ForwardBackward
from fpt_model.engines.cpu.pairs import products_of_each
from fpt_model.engines.cpu.threads import parallel_map, single_threaded, threads_now
from fpt_model.engines.cpu.weights import weights_of
from fpt_model.evaluation.ranks import (
    Protocol,
    Ranks,
    compare,
    compare_drawn,
    evaluated,
    filled,
    joined,
    users_at_once,
)
from fpt_model.model.encoder import Encoder

# Of a batch, at most. As in a step, operations must be long beside the moments between them, when
# threads wait for each other: of 256 users an evaluation on two takes a sixth longer.
USERS = 768
SCORES = USERS * 50 * 50


def rank(
    model: Encoder, sequences: Sequences, split: Split, protocols: tuple[Protocol, ...]
) -> Ranks:
    """See `evaluation.ranks.rank`; only the drawn candidates are scored if no others count."""
    weights, length = weights_of(model, training=False), model.config.max_length
    known, size = by_item(model.config, weights), users_of_batch(model.config)
    if protocols != ("uniform_100",):
        size = users_at_once(sequences.n_items, size)

    @torch.no_grad()
    def ranks(batch_rows: Tensor) -> Ranks:
        # features of the latest position; the last batch is filled up, so that all are of one size
        rows = filled(batch_rows, size)
        windows = sequences.windows(rows, sequences.held_out(rows, split), length)
        forward_backward = ForwardBackward(model, weights, windows, None)
        features = forward_backward.latest(known)[: len(batch_rows)]

        # candidates alone, or every item
        if protocols == ("uniform_100",):
            used = features[:, : model.config.item_width].contiguous()
            return compare_drawn(
                batch_rows, partial(products_of_each, used, weights.items), sequences, split
            )
        return compare([(batch_rows, model.score_all(features))], sequences, split, protocols)

    threads = threads_now()
    with single_threaded():
        return joined(parallel_map(ranks, evaluated(sequences).split(size), threads))


def users_of_batch(config: Config) -> int:
    """By settings alone, see `fpt_model.evaluation.ranks.BATCH`."""
    return max(1, min(USERS, SCORES // (config.heads * config.max_length**2)))

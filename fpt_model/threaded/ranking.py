"""Ranks of held-out items, batches of users side by side on a CPU's threads."""

import torch
from torch import Tensor

from fpt_model.data import Sequences, Split
from fpt_model.evaluate import Protocol, Ranks, compare, compare_drawn, evaluated, filled, joined
from fpt_model.model import Encoder
from fpt_model.threaded.passage import Passage
from fpt_model.threaded.threads import each, undivided
from fpt_model.threaded.weights import weights_of

BATCH = 256  # see `fpt_model.evaluate`


def rank(
    model: Encoder, sequences: Sequences, split: Split, protocols: tuple[Protocol, ...]
) -> Ranks:
    """See `fpt_model.evaluate.rank`; only the drawn candidates are scored if no others count."""
    weights, length = weights_of(model, training=False).detached(), model.config.max_length

    @torch.no_grad()
    def ranks(chosen: Tensor) -> Ranks:
        rows = filled(chosen, BATCH)
        windows = sequences.windows(rows, sequences.held_out(rows, split), length)
        passage = Passage(model.config, model.edges, weights, windows, None)
        features = passage.latest()[: len(chosen)]
        if protocols == ("uniform_100",):
            return compare_drawn(
                chosen, lambda items: model.score(features, items), sequences, split
            )
        return compare([(chosen, model.score_all(features))], sequences, split, protocols)

    threads = torch.get_num_threads()
    with undivided():
        return joined(each(ranks, evaluated(sequences).split(BATCH), threads))

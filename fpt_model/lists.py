"""What a training puts first for each user before the test item: as a file.

Letters: B users of a batch, K places, I items of all.
"""

from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from fpt_model.data import Sequences
from fpt_model.evaluate import evaluated, open_scores, refuse_nan, scored
from fpt_model.ranking import load_ranker
from fpt_model.written import write_table

LISTS = "lists.parquet"
TOP = 20  # the last cut-off of the metrics
SCHEMA = pa.schema([("user_id", pa.int32()), ("rank", pa.int32()), ("item_id", pa.int32())])


def list_run(sequences: Sequences, run: Path, output: Path, top: int = TOP) -> int:
    """Write the first items for every user with held-out items, as the test split is ranked.

    What is listed is what test ranks are among, under the protocol `full`: the user's other items
    are left out, the held-out one is not. Equal scores stand in the order of their items.

    Args:
        sequences: what the run was trained on, on the device to compute on.
        run: its directory.
        output: Parquet file (user_id, rank from 1, item_id).
        top: K; fewer where the user has nearly everything.

    Returns:
        The number of rows.

    Raises:
        ModelError: see `load_model`; a score is NaN.
    """
    ranker = load_ranker(run, sequences)
    seen = ranker.sequences.seen_at(ranker.moment)
    length = ranker.window(int(seen.lengths.max()))
    parts = []
    for chosen, scores in scored(ranker.score, seen, evaluated(seen), "test", length):
        refuse_nan(scores)
        values, items = highest(open_scores(seen, chosen, "test", scores), top)
        row, place = (values > float("-inf")).nonzero(as_tuple=True)
        parts.append(_table(chosen[row] + 1, place + 1, items[row, place]))
    table = pa.concat_tables(parts)
    write_table(output, table)
    return int(table.num_rows)


def highest(scores: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """The highest scores, equal ones in the order of their items.

    Args:
        scores: (B, I + 1); column 0 is padding, and -inf is what may not be taken.
        top: K; all I where it is more.

    Returns:
        Values and items, (B, K); -inf where nothing is left.
    """
    scores = scores[:, 1:]
    values, items = scores.topk(min(top, scores.shape[1]), dim=1)  # (B, K)
    cut = values[:, -1:]  # of the last place
    tied = (scores >= cut).sum(1) > values.shape[1]  # (B,), of which topk took any
    items[tied] = _first_down_to(scores[tied], cut[tied], values.shape[1])
    items = items.sort(dim=1).values
    values, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    return values, items.gather(1, order) + 1


def _first_down_to(scores: Tensor, cut: Tensor, top: int) -> Tensor:
    """Places of the `top` highest scores of each row; of those equal to the cut the first."""
    above, equal = scores > cut, scores == cut
    free = top - above.sum(1, keepdim=True)  # (B, 1)
    chosen = above | (equal & (equal.cumsum(1, dtype=torch.int32) <= free))
    return chosen.nonzero()[:, 1].view(len(scores), top)


def _table(*columns: Tensor) -> pa.Table:
    arrays = [
        pa.array(column.cpu().numpy(), kind)
        for column, kind in zip(columns, SCHEMA.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)

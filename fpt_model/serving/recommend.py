"""What comes after whole histories, and what the model looks at when it says so; as files.

Letters: B users of a batch, K items, I items of all.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from fpt_model.data.histories import History, read_histories, windows_of
from fpt_model.data.sequences import Sequences, load
from fpt_model.errors import ModelError
from fpt_model.evaluation.ranks import users_at_once
from fpt_model.evaluation.top_items import highest
from fpt_model.files.written import write_table
from fpt_model.model.cold_start_users import ColdStartUsers
from fpt_model.serving.explain import attention_of
from fpt_model.training.ranking import load_ranker, load_run

Answer = Callable[[Path, Sequences, Sequence[History]], Iterator[pa.Table]]
TOP = pa.schema(
    [("asked", pa.int32()), ("rank", pa.int32()), ("item_id", pa.int32()), ("score", pa.float32())]
)
ATTENTION = pa.schema(
    [
        ("asked", pa.int32()),
        ("position", pa.int32()),
        ("item_id", pa.int32()),
        ("seconds_before", pa.int64()),
        ("block", pa.int32()),
        ("weight", pa.float32()),
    ]
)


def recommend_run(
    path: Path, run: Path, asked: Path, top: int, output: Path, device: torch.device
) -> int:
    """Write the `top` items after each history, best first.

    Those of the history are left out, unless items come again.

    Args:
        path: the sequences file that the run was trained on.
        run: its directory.
        asked: see `read_histories`.
        top: K; fewer where the user has nearly everything.
        output: Parquet file (asked from 0, rank from 1, item_id, score).
        device: to compute on.

    Returns:
        The number of rows.

    Raises:
        ModelError: see `load_model` and `read_histories`; `top` is no number of items.
    """
    if top < 1:
        raise ModelError("--top is too small", got=top, expected="at least 1")
    return _answer(path, run, asked, output, device, partial(_best, top=top))


def explain_run(path: Path, run: Path, asked: Path, output: Path, device: torch.device) -> int:
    """Write what the last position of each history attends to, the mean over heads.

    Args:
        path, run, asked, device: as in `recommend_run`.
        output: Parquet file (asked from 0, position in the history from 1, item_id,
            seconds_before the last interaction, block from 1, weight; see `attention_of`).

    Returns:
        The number of rows.

    Raises:
        ModelError: see `load_model` and `read_histories`.
    """
    return _answer(path, run, asked, output, device, _attention)


def _answer(
    path: Path, run: Path, asked: Path, output: Path, device: torch.device, answer: Answer
) -> int:
    sequences = load(path).to(device)
    table = pa.concat_tables(answer(run, sequences, read_histories(asked, sequences)))
    write_table(output, table)
    return int(table.num_rows)


@torch.no_grad()
def _best(
    run: Path, sequences: Sequences, histories: Sequence[History], top: int
) -> Iterator[pa.Table]:
    model = load_ranker(run, sequences)
    length = model.window(max(len(one.items) for one in histories))
    device = model.sequences.device
    size = users_at_once(sequences.n_items)
    for first in range(0, len(histories), size):
        some = histories[first : first + size]
        filled = [*some, *[some[0]] * (size - len(some))]  # see `evaluation.ranks.BATCH`
        windows = windows_of([one.to(device) for one in filled], length, model)
        scores = model.score(windows)[: len(some)]  # (B, I + 1)
        seen = [] if sequences.comes_again else [one.items.to(device) for one in some]
        values, items = best(scores, seen, top)
        found = values > float("-inf")  # (B, K)
        asked, rank = found.nonzero(as_tuple=True)
        columns = (asked + first, rank + 1, items[found], values[found])
        yield _table(columns, TOP)


def best(scores: Tensor, seen: Sequence[Tensor], top: int) -> tuple[Tensor, Tensor]:
    """The highest scores outside what was seen, equal ones in the order of their items.

    Args:
        scores: (B, I + 1); column 0 is padding.
        seen: items of each of the B, or nothing, where they may come again.
        top: K; all I where it is more.

    Returns:
        Values and items, (B, K); -inf where nothing is left, then with items that were seen.

    Raises:
        ModelError: a score is NaN.
    """
    if not torch.isfinite(scores).all():
        raise ModelError("A score is not a number", to_do="Train again with a lower rate")
    open_ = scores.clone()
    open_[:, 0] = float("-inf")
    for row, items in zip(open_, seen, strict=bool(seen)):
        row[items] = float("-inf")
    return highest(open_, top)


def _attention(run: Path, sequences: Sequences, histories: Sequence[History]) -> Iterator[pa.Table]:
    model, sequences = load_run(run, sequences)
    length, unseen = model.config.max_length, ColdStartUsers(model, sequences)
    for asked, one in enumerate(histories):
        windows = windows_of([one], length, model.config)
        weights = attention_of(model, windows, unseen.vectors(windows))[0].mean(1)  # (blocks, T)
        shown = min(len(one.items), length)
        first = len(one.items) - shown
        block, place = torch.ones_like(weights[:, -shown:]).nonzero(as_tuple=True)
        columns = (
            torch.full_like(place, asked),
            first + place + 1,
            one.items[first + place],
            one.times[-1] - one.times[first + place],
            block + 1,
            weights[:, -shown:].flatten(),
        )
        yield _table(columns, ATTENTION)


def _table(columns: Sequence[Tensor], schema: pa.Schema) -> pa.Table:
    arrays = [
        pa.array(column.cpu().numpy(), kind)
        for column, kind in zip(columns, schema.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)

"""What a training puts first for each user before the test item: as a file.

Letters: N users, K places.
"""

from pathlib import Path

import pyarrow as pa
from torch import Tensor

from fpt_model.evaluation.ranks import Ranks
from fpt_model.files.written import write_table

LISTS = "lists.parquet"
SCHEMA = pa.schema([("user_id", pa.int32()), ("rank", pa.int32()), ("item_id", pa.int32())])


def write_lists(output: Path, ranks: Ranks) -> None:
    """Write the lists of test ranks (user_id, rank from 1, item_id)."""
    if ranks.lists is None:
        raise AssertionError("ranks of this engine hold no lists")
    row, place = ranks.lists.nonzero(as_tuple=True)
    items = ranks.lists[row, place]
    write_table(output, _table(ranks.users[row], place + 1, items))


def _table(*columns: Tensor) -> pa.Table:
    arrays = [
        pa.array(column.cpu().numpy(), kind)
        for column, kind in zip(columns, SCHEMA.types, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)

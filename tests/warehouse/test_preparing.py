"""How a frame reaches the staging database."""

import polars as pl
import pytest

from warehouse import preparing


@pytest.mark.parametrize("pieces", [[7], [3, 5, 4], [1, 1, 1, 9], []])
def test_a_frame_of_any_pieces_arrives_in_order_in_whole_groups(pieces, monkeypatch):
    monkeypatch.setattr(preparing, "ROWS_A_GROUP", 4)
    rows = pl.Series("row", range(sum(pieces)), pl.Int32)
    frames = [pl.DataFrame({"row": []}, {"row": pl.Int32})]
    for size in pieces:
        start = sum(frame.height for frame in frames)
        frames.append(rows.slice(start, size).to_frame())
    batches = list(preparing._in_groups(pl.concat(frames, rechunk=False)))
    assert all(batch.num_rows == 4 for batch in batches[:-1])
    assert [row for batch in batches for row in batch["row"].to_pylist()] == rows.to_list()

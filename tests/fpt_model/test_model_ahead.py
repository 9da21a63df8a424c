"""Ranks of what came next after the sequences that a run was trained on."""

import pyarrow.parquet as pq
import pytest

from fpt_model.data.sequences import load
from fpt_model.errors import ModelError


@pytest.mark.parametrize("model", ["sasrec", "sas_fpt"])
def test_who_had_a_single_interaction_before_is_ranked_too(
    model, learnable, learnable_rows, user, write_sequences, train_small, run_command, tmp_path
):
    """User 26 was known by item 7 alone and came back for item 8: one of three candidates."""
    run = tmp_path / "run"
    assert train_small(learnable, run, model=model).code == 0
    known = [row | {"n_train": len(row["item_ids"])} for row in learnable_rows[:-1]]
    back = user([7, 8], times=[10, 70], test_candidates=[1, 2]) | {"n_train": 0, "time_scale": 1}
    ahead = write_sequences([*known, back], 30, name="ahead-abc.parquet")
    files = ("--sequences", learnable, "--ahead", ahead, "--run", run, "--device", "cpu")
    ended = run_command("evaluate", *files)
    assert ended.code == 0, ended.stderr
    rows = pq.read_table(run / "ahead.parquet").to_pylist()
    found = {row["protocol"]: (row["split"], row["user_id"], row["n_candidates"]) for row in rows}
    assert found == {"uniform_100": ("next", 26, 3), "full": ("next", 26, 29)}
    with pytest.raises(ModelError, match="neither all nor all but two"):
        load(ahead)  # nobody trains on that

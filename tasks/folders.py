"""Folders of trainings: whether what a training left is there and whole, and mending what can be.

A row in the warehouse says that a training was published, not that its weights are still there.
"""

import json
from pathlib import Path

from fpt_model.files.finished import BEST, EPOCHS, RECORD, checksum, problem, written_record
from warehouse.home import Home
from warehouse.kept import kept
from warehouse.placing import put_in_place
from warehouse.values import stated, values_sha256
from warehouse.written import is_written

RANKS = "ranks.parquet"
LISTS = "lists.parquet"


def lacking(folder: Path, checkpoint: str) -> str:
    """What of a published training is missing or damaged; empty when all is whole.

    Args:
        folder: of the training.
        checkpoint: checksum of the weights that were published.
    """
    return lost_weights(folder, checkpoint) or problem(folder) or lost_ranks(folder)


def lost_weights(folder: Path, checkpoint: str) -> str:
    """What is wrong with a folder's weights, if anything."""
    if not (folder / BEST).is_file():
        return f"{BEST} is missing"
    return "" if checksum(folder / BEST) == checkpoint else f"{BEST} is damaged"


def is_begun(folder: Path) -> bool:
    """Whether a training left something that it goes on from."""
    return any(folder.glob("**/checkpoint-*.safetensors")) or (folder / BEST).is_file()


def lost_ranks(folder: Path) -> str:
    """What is wrong with a folder's ranks or lists, if anything."""
    for name in (RANKS, LISTS):
        if not is_written(folder / name):
            return f"{name} is {'damaged' if (folder / name).exists() else 'missing'}"
    return ""


def mend_record(home: Home, run_id: str, sequences: Path, sequences_sha256: str) -> str:
    """Write a published training's `run.json` and `epochs.jsonl` again if they are not whole.

    Their facts are in the warehouse. Only where its weights are whole: otherwise it is trained
    again, and writes them itself.

    Args:
        home: of the pipeline.
        run_id: the training.
        sequences: what it was trained on, which is whole.
        sequences_sha256: checksum of that file.

    Returns:
        What was wrong; empty when nothing was.
    """
    folder = home.run(run_id)
    facts = kept(home, run_id)
    wrong = problem(folder)
    if not wrong or lost_weights(folder, facts.record["checkpoint_sha256"]):
        return ""
    epochs = "".join(json.dumps(row) + "\n" for row in facts.epochs).encode()
    trained_on = {
        "sequences_sha256": sequences_sha256,
        "sequences_values": values_of(sequences),
    }
    for name, text in (
        (EPOCHS, epochs),
        (RECORD, written_record(facts.record | trained_on, epochs)),
    ):
        partial = folder / f"{name}.partial"
        partial.write_bytes(text)
        put_in_place(partial, folder / name)
    return wrong


def values_of(sequences: Path) -> str:
    """What a sequences file is known by: the hash of its values, which older files do not state."""
    return stated(sequences) or values_sha256(sequences)

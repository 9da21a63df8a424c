"""What a finished training leaves in its folder, and whether it is whole.

`run.json` is written last, by one rename, and says the checksums of the weights and the epochs and
of itself: there is no moment at which a crash makes files that disagree for good.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpt_model.errors import ModelError

BEST = "best.safetensors"
RECORD = "run.json"
EPOCHS = "epochs.jsonl"
ITSELF = "record_sha256"  # of the other entries; older versions wrote none
NAMED = {"config", "seed", "snapshot_id", "code_version", "device", "versions", "train_seconds"}
NAMED |= {"started_at", "finished_at", "best_epoch", "valid_ndcg_10", "checkpoint_sha256"}


def written_record(record: Mapping[str, Any], epochs: bytes) -> bytes:
    """The text of `run.json` of what `record` says and of the file of epochs."""
    whole = {**record, "epochs_sha256": hashlib.sha256(epochs).hexdigest()}
    return json.dumps(whole | {ITSELF: _hash(whole)}, indent=1).encode()


def read_record(folder: Path) -> dict[str, Any]:
    """What `run.json` says.

    Raises:
        ModelError: it is missing or damaged.
    """
    path = folder / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        lacking = NAMED - set(record)
        itself = record.get(ITSELF)
        rest = {name: value for name, value in record.items() if name != ITSELF}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, _word(error)) from error
    if lacking or itself not in (None, _hash(rest)):
        raise _damaged(path, f"no {', '.join(sorted(lacking))}" if lacking else "other values")
    return record


def problem(folder: Path) -> str:
    """What is missing or damaged of weights, epochs and record; empty when all is whole."""
    try:
        record = read_record(folder)
    except ModelError as error:
        return str(error).rstrip(".")
    for name, expected in (
        (EPOCHS, record.get("epochs_sha256")),
        (BEST, record["checkpoint_sha256"]),
    ):
        if not (folder / name).is_file():
            return f"{name} is missing"
        if expected and checksum(folder / name) != expected:
            return f"{name} is damaged"
    return "" if _are_epochs(folder / EPOCHS) else f"{EPOCHS} is damaged"


def checksum(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _are_epochs(path: Path) -> bool:
    """For files of older versions, whose record says no checksum of them."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return bool(lines) and all("epoch" in json.loads(line) for line in lines)
    except (ValueError, TypeError):
        return False


def _word(error: Exception) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else f"no JSON: {error}"


def _damaged(path: Path, got: str) -> ModelError:
    return ModelError(f"{path.name} is not what the training wrote", got=got)

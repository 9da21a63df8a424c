"""Weights and the state of a training, as safetensors: never executed, always checked."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fpt_model.errors import ModelError
from fpt_model.files.faults import point
from fpt_model.files.finished import checksum
from fpt_model.files.placing import put_in_place

KEPT = 2


@dataclass(frozen=True)
class State:
    """Everything that a resumed training needs besides its data and settings.

    Attributes:
        tensors: weights, optimizer moments, groups, by name.
        facts: counters and measurements, as JSON can hold them.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def write(path: Path, state: State) -> str:
    """Write whole or not at all: temporary file, fsync, rename, checksum beside. Returns it."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    data = save(tensors, metadata={"facts": json.dumps(state.facts)})
    sha256 = hashlib.sha256(data).hexdigest()
    write_whole(path, data)
    write_whole(Path(f"{path}.sha256"), f"{sha256}  {path.name}\n".encode())
    return sha256


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old one or the new one, never part of it."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(data)
        point("before a training's file is placed")
        put_in_place(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)  # a full disk: its last free bytes are given back
        raise


def check_sha256(path: Path, made_by: str) -> str:
    """The checksum of a file, which must be the one that stands beside it.

    Raises:
        ModelError: either file is missing, or they disagree.
    """
    beside = Path(f"{path}.sha256")
    for file in (path, beside):
        if not file.is_file():
            raise ModelError(f"No file {file}", to_do=f"Run {made_by} first")
    actual = checksum(path)
    expected = (beside.read_text(encoding="utf-8").split() or [""])[0]
    if actual != expected:
        raise ModelError(
            f"{path.name} is damaged",
            got=f"SHA-256 {actual}",
            expected=expected,
            to_do=f"Run {made_by} again",
        )
    return actual


def read(path: Path) -> State:
    """Read what `write` wrote.

    Raises:
        ModelError: missing, damaged, or not safetensors.
    """
    check_sha256(path, made_by="the training")
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise ModelError(f"{path.name} is no checkpoint of ours", got=str(error)) from error
    return State(tensors, facts)


def write_latest(folder: Path, state: State, step: int) -> None:
    """Add a checkpoint to the folder's, and drop all but the two newest."""
    write(folder / f"checkpoint-{step:09d}.safetensors", state)
    for old in _checkpoints(folder)[KEPT:]:
        Path(f"{old}.sha256").unlink(missing_ok=True)
        point("an old checkpoint has no checksum any more")
        old.unlink()


def read_latest(folder: Path) -> tuple[State | None, list[str]]:
    """The newest checkpoint that is whole, and a sentence for each newer one that is not."""
    problems: list[str] = []
    for path in _checkpoints(folder):
        try:
            return read(path), problems
        except ModelError as error:
            problems.append(f"{error.found}.")
    return None, problems


def load_weights(
    model: torch.nn.Module,
    tensors: dict[str, Tensor],
    source: str,
    elsewhere: Mapping[str, tuple[int, ...]] | None = None,
) -> None:
    """Put weights into a model.

    Args:
        model: has names, shapes and types.
        tensors: by name.
        source: what they are called where they don't fit.
        elsewhere: the shapes of those that the model has in another place; they are checked alone.

    Raises:
        ModelError: other names, shapes or types, or a value that is not a finite number.
    """
    elsewhere = elsewhere or {}
    expected = model.state_dict()
    expected |= {name: torch.empty(shape, device="meta") for name, shape in elsewhere.items()}
    wrong = [
        *(f"{name} is missing" for name in expected if name not in tensors),
        *(f"{name} is unknown" for name in tensors if name not in expected),
        *(
            f"{name} is {kind(tensors[name])} instead of {kind(value)}"
            for name, value in expected.items()
            if name in tensors and kind(tensors[name]) != kind(value)
        ),
        *(f"{name} is not finite" for name, value in tensors.items() if not _is_finite(value)),
    ]
    if wrong:
        raise ModelError(f"{source} does not fit the model", got="; ".join(wrong[:5]))
    here = {name: value for name, value in tensors.items() if name not in elsewhere}
    model.load_state_dict(here, strict=not elsewhere)


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("checkpoint-*.safetensors"), reverse=True)


def kind(value: Tensor) -> str:
    """Type and shape, in short."""
    return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(torch.isfinite(value).all())

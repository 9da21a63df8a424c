"""Weights of the public TiSASRec.pytorch (github.com/pmixer/TiSASRec.pytorch) as a run of ours.

Its forward pass is that of `tisasrec` with mask `queries`: equal for every real position, whether
the window is full or padded. With mask `keys` full windows alone are equal. Two things of the data
are not in the weights: it rounds each timestamp to the user's scale before it subtracts, ours
rounds the difference down; and its scale comes from the whole history. Its preparation numbers
movies in the order of their numbers, after those with fewer than five ratings, as our 5-core does.
"""

import hashlib
import pickle
from pathlib import Path

import torch
from torch import Tensor

from fpt_model.config import Config, Setting, resolve
from fpt_model.data.sequences import load
from fpt_model.errors import ModelError
from fpt_model.files.checkpoints import State, kind, write
from fpt_model.files.finished import BEST
from fpt_model.model.encoder import Encoder
from fpt_model.training.run import TrainingSpec

_TABLES = {
    "items.weight": "item_emb.weight",
    "positions.0": "abs_pos_K_emb.weight",
    "positions.1": "abs_pos_V_emb.weight",
    "intervals.0": "time_matrix_K_emb.weight",
    "intervals.1": "time_matrix_V_emb.weight",
}
_OF_BLOCK = {
    "norm_attention": "attention_layernorms.{}",
    "query": "attention_layers.{}.Q_w",
    "key": "attention_layers.{}.K_w",
    "value": "attention_layers.{}.V_w",
    "norm_pointwise": "forward_layernorms.{}",
    "pointwise_1": "forward_layers.{}.conv1",
    "pointwise_2": "forward_layers.{}.conv2",
}
_NO_EDGES = torch.empty(0, dtype=torch.int64)


def import_run(checkpoint: Path, path: Path, output: Path, heads: int = 1) -> None:
    """Make a run directory of a published checkpoint; `evaluate` ranks with it.

    Args:
        checkpoint: state dict as `torch.save` wrote it; nothing in it is executed.
        path: the sequences to rank on; their items must be those it was trained on.
        output: run directory to make.
        heads: attention heads: no shape tells them.

    Raises:
        ModelError: see `load` and `read_weights`; it knows another number of items; the directory
            holds something else.
    """
    sequences = load(path)
    config, tensors = read_weights(checkpoint, heads)
    n_items = len(tensors["items.weight"]) - 1
    if n_items != sequences.n_items:
        raise ModelError(
            f"{checkpoint.name} knows other items", got=n_items, expected=sequences.n_items
        )
    if output.exists() and any(output.iterdir()):
        raise ModelError(f"{output} is in use", expected="a new directory")
    output.mkdir(parents=True, exist_ok=True)
    # user 0 alone: `tisasrec` has no user embedding
    spec = TrainingSpec(config, 0, sequences.values, sequences.snapshot_id).to_dict()
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    write(output / BEST, State(tensors, {"order": spec, "imported": [checkpoint.name, sha256]}))


def read_weights(checkpoint: Path, heads: int = 1) -> tuple[Config, dict[str, Tensor]]:
    """Settings by the shapes of a published state dict, and its weights under our names.

    Raises:
        ModelError: it is no such file; names, shapes or types differ; a value is not finite.
    """
    theirs = _tensors(checkpoint)
    problems = [f"{name} is missing" for name in _TABLES.values() if name not in theirs]
    problems += [
        f"{name} is {kind(theirs[name])} instead of a table"
        for name in _TABLES.values()
        if name in theirs and (theirs[name].dim() != 2 or len(theirs[name]) < 2)
    ]
    if problems:
        raise _refused(checkpoint, problems)
    config = _config(theirs, heads)
    tables = {name: theirs[other] for name, other in _TABLES.items()}
    model = Encoder(config, len(tables["items.weight"]) - 1, 0, _NO_EDGES)
    expected = model.state_dict()
    names = _names(config.blocks)
    # the published checkpoint has more rows for keys than for values; they are never reached
    keys = names["intervals.0"]
    theirs[keys] = theirs[keys][: config.time_span + 1]
    problems = [f"{name} is missing" for name in names.values() if name not in theirs]
    problems += [f"{name} is unknown" for name in theirs if name not in names.values()]
    for ours, name in names.items():
        if name in theirs:
            problems += _differences(name, theirs[name], _shape(name, expected[ours]))
    if problems:
        raise _refused(checkpoint, problems)
    weights = {ours: theirs[name].view(expected[ours].shape) for ours, name in names.items()}
    weights["items.weight"][0] = 0  # it multiplies padding by zero
    return config, weights | {"edges": _NO_EDGES}


def _tensors(checkpoint: Path) -> dict[str, Tensor]:
    if not checkpoint.is_file():
        raise ModelError(f"No file {checkpoint}")
    try:
        found = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise _refused(checkpoint, [str(error).splitlines()[0]]) from error
    if not isinstance(found, dict) or not all(isinstance(x, Tensor) for x in found.values()):
        raise _refused(checkpoint, ["no tensors by name"])
    return dict(found)


def _config(theirs: dict[str, Tensor], heads: int) -> Config:
    blocks = {name.split(".")[1] for name in theirs if name.startswith("attention_layers.")}
    settings: dict[str, Setting] = {
        "item_width": theirs["item_emb.weight"].shape[-1],
        "max_length": len(theirs["abs_pos_K_emb.weight"]),
        "time_span": len(theirs["time_matrix_V_emb.weight"]) - 1,
        "blocks": len(blocks),
        "heads": heads,
        "mask": "queries",
    }
    return resolve("tisasrec", "paper", settings)


def _names(blocks: int) -> dict[str, str]:
    """Their name of each of our parameters."""
    names = dict(_TABLES)
    for part in ("weight", "bias"):
        names[f"norm.{part}"] = f"last_layernorm.{part}"
        for block in range(blocks):
            for ours, other in _OF_BLOCK.items():
                names[f"blocks.{block}.{ours}.{part}"] = f"{other.format(block)}.{part}"
    return names


def _shape(name: str, ours: Tensor) -> list[int]:
    """Theirs: the pointwise layers are convolutions of one place."""
    return [*ours.shape, *([1] if "conv" in name and ours.dim() == 2 else [])]


def _differences(name: str, value: Tensor, shape: list[int]) -> list[str]:
    if value.dtype != torch.float32 or list(value.shape) != shape:
        return [f"{name} is {kind(value)} instead of float32{shape}"]
    return [] if bool(torch.isfinite(value).all()) else [f"{name} is not finite"]


def _refused(checkpoint: Path, problems: list[str]) -> ModelError:
    return ModelError(
        f"{checkpoint.name} is no state dict of TiSASRec.pytorch", got="; ".join(problems[:5])
    )

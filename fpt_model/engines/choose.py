"""Which engine trains what, and on which device.

Engines that need a GPU, or Triton, are imported when they are asked for.
"""

from collections.abc import Sequence
from importlib.util import find_spec

import torch

from fpt_model.config import Config, engine_name
from fpt_model.data.sequences import Sequences
from fpt_model.engines.cpu.passage import fits as fits_threaded
from fpt_model.engines.cpu.trainer import ThreadedTrainer
from fpt_model.errors import ModelError
from fpt_model.training.trainer import Trainer


def engine_of(engine: str, config: Config, device: torch.device) -> str:
    """The engine that trains this: `multiseed`, `jagged`, `cpu` or `reference`.

    Raises:
        ModelError: the engine that was asked for can't.
    """
    engine = engine_name(engine)
    if uses_fused(engine, config, device):
        return "multiseed"
    if engine == "reference":
        return "reference"
    if engine in ("auto", "cpu") and device.type == "cpu" and fits_threaded(config):
        return "cpu"
    if engine == "cpu":
        raise ModelError(
            "The cpu engine can't train this",
            got=f"device {device.type}, mask {config.mask}, block {config.block}",
            expected="a CPU, mask keys, block attention",
            to_do="Use --engine reference",
        )
    able = _has_triton(device) and _fits_graphed(config)
    if engine == "jagged" and not able:
        raise ModelError(
            "The jagged engine can't train this",
            got=f"device {device.type}, mask {config.mask}, block {config.block}, "
            f"batch_size {config.batch_size}, heads {config.heads}, "
            f"max_length {config.max_length}",
            expected="a GPU with Triton, mask keys, block attention, "
            "batch_size x heads x max_length² below 2^31",
            to_do="Use --engine reference",
        )
    return "jagged" if able else "reference"


def uses_fused(engine: str, config: Config, device: torch.device) -> bool:
    """Whether the fused kernels train this.

    Raises:
        ModelError: they were asked for and can't.
    """
    engine = engine_name(engine)
    if engine not in ("auto", "multiseed"):
        return False
    able = _has_triton(device) and _fits_fused(config)
    if engine == "multiseed" and not able:
        raise ModelError(
            "The multiseed engine can't train this",
            got=f"device {device.type}, mask {config.mask}, block {config.block}, "
            f"heads {config.heads}, loss {config.loss}, width {config.width}, "
            f"rating_width {config.rating_width}, max_length {config.max_length}",
            expected="a GPU with Triton, mask keys, block attention, one head, bce, width to 128, "
            "no ratings, max_length to 64",
            to_do=f"Use --engine {'jagged or reference' if _fits_graphed(config) else 'reference'}",
        )
    return able


def _has_triton(device: torch.device) -> bool:
    return device.type == "cuda" and find_spec("triton") is not None


def _fits_fused(config: Config) -> bool:
    from fpt_model.engines.multiseed.engine import fits

    return fits(config)


def _fits_graphed(config: Config) -> bool:
    from fpt_model.engines.jagged.engine import fits

    return fits(config)


def trainers_of(
    config: Config, seeds: Sequence[int], sequences: Sequences, engine: str
) -> Sequence[Trainer]:
    """A trainer for each seed; `engine` as `engine_of` says."""
    if engine == "multiseed":
        from fpt_model.engines.multiseed.trainer import FusedGroup

        return FusedGroup(config, seeds, sequences).members
    if engine == "jagged":
        from fpt_model.engines.jagged.trainer import GraphedTrainer

        return [GraphedTrainer(config, seed, sequences) for seed in seeds]
    kind = ThreadedTrainer if engine == "cpu" else Trainer
    return [kind(config, seed, sequences) for seed in seeds]


def device_of(name: str) -> torch.device:
    """The device asked for; a GPU that is not there is an error, never a silent CPU run.

    Raises:
        ModelError: `cuda` was asked for and there is none.
    """
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise ModelError(
            "No GPU here", expected="one, for --device cuda", to_do="Use --device auto"
        )
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def device_name(device: torch.device) -> str:
    """What the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"

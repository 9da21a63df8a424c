"""Which engine trains what, and on which device.

Engines that need a GPU, or Triton, are imported when they train.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch

from fpt_model.config import Config, engine_name
from fpt_model.engines import reference
from fpt_model.engines.contract import Engine, Refusal
from fpt_model.engines.cpu import limits as cpu
from fpt_model.engines.distributed import limits as distributed
from fpt_model.engines.jagged import limits as jagged
from fpt_model.engines.multiseed import limits as multiseed
from fpt_model.engines.shared import Training
from fpt_model.errors import ModelError


class Kind(NamedTuple):
    """An engine that can be asked for.

    Attributes:
        refuses: why it can't train settings on a device; None if it can.
        build: an engine for each training; all have the same settings.
        together: how many trainings share launches, or a GPU that one alone does not fill.
        compiles: whether it has kernels that are worth compiling ahead.
    """

    refuses: Callable[[Config, torch.device], Refusal | None]
    build: Callable[[Sequence[Training]], Sequence[Engine]]
    together: int = 1
    compiles: bool = False


def _multiseed(trainings: Sequence[Training]) -> Sequence[Engine]:
    from fpt_model.engines.multiseed.training import Group

    return Group(trainings).members


def _jagged(trainings: Sequence[Training]) -> Sequence[Engine]:
    from fpt_model.engines.jagged.training import JaggedEngine

    return [JaggedEngine(training) for training in trainings]


def _cpu(trainings: Sequence[Training]) -> Sequence[Engine]:
    from fpt_model.engines.cpu.training import CpuEngine

    return [CpuEngine(training) for training in trainings]


def _reference(trainings: Sequence[Training]) -> Sequence[Engine]:
    return [reference.Reference(training) for training in trainings]


def _distributed(trainings: Sequence[Training]) -> Sequence[Engine]:
    from fpt_model.engines.distributed.engine import Distributed

    return [Distributed(training) for training in trainings]


# The fastest first. More seeds side by side than these only take more of a GPU's memory.
ENGINES = {
    "multiseed": Kind(multiseed.refuses, _multiseed, together=8, compiles=True),
    "jagged": Kind(jagged.refuses, _jagged, together=3, compiles=True),
    "cpu": Kind(cpu.refuses, _cpu),
    "reference": Kind(reference.refuses, _reference),
    "distributed": Kind(distributed.refuses, _distributed),
}


def engine_of(name: str, config: Config, device: torch.device) -> str:
    """The engine that trains this, a key of `ENGINES`: the one asked for, with `auto` the fastest.

    Raises:
        ModelError: the engine that was asked for can't.
    """
    name = engine_name(name)
    able = [key for key, kind in ENGINES.items() if kind.refuses(config, device) is None]
    if name == "auto":
        return able[0]
    refusal = ENGINES[name].refuses(config, device)
    if refusal is not None:
        raise ModelError(
            f"The {name} engine can't train this",
            got=refusal.got,
            expected=refusal.expected,
            to_do=f"Use --engine {' or '.join(able)}",
        )
    return name


def engines_of(name: str, trainings: Sequence[Training]) -> Sequence[Engine]:
    """An engine for each training; all have the same settings, which it does not refuse."""
    kind = ENGINES[name]
    if kind.compiles:
        from fpt_model.engines.gpu.kernel_keys import settle_all

        settle_all()
    return kind.build(trainings)


def items_of(name: str, config: Config) -> Literal["here", "apart"]:
    """Where an engine wants the item table, see `Training`."""
    return "apart" if name == "distributed" and distributed.cuts(config) else "here"


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

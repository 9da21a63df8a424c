"""What ranks other than the first do: what they are told, until the end."""

import signal
from typing import Any, Literal

import torch

from fpt_model.data.device_limit import placed
from fpt_model.engines.distributed.engine import Distributed
from fpt_model.engines.distributed.group import (
    BUILD,
    END,
    LOAD,
    MOMENTS,
    RANK,
    RESTORE,
    STEP,
    WEIGHTS,
    Group,
)
from fpt_model.engines.distributed.limits import cuts
from fpt_model.engines.shared import Training


def follow(group: Group, device: torch.device) -> None:
    """Do what the leader tells.

    A signal is the leader's to heed: it keeps a checkpoint and tells the end.

    Raises:
        LostRankError: another process is gone.
    """
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, signal.SIG_IGN)
    engines: dict[int, Distributed] = {}
    while (message := group.hear())[0] != END:
        code, number, *numbers = message
        if code == BUILD:
            living = _build(group, device, number, engines)
            engines = {key: engine for key, engine in engines.items() if key in living}
        else:
            _obey(group, engines[number], code, numbers)


def _build(
    group: Group, device: torch.device, number: int, engines: dict[int, Distributed]
) -> set[int]:
    """Returns the numbers of the engines that are still of use."""
    config, seed, sequences, living = group.share_object(None)
    if sequences is not None:
        group.sent = placed(sequences, device)
    items: Literal["here", "elsewhere"] = "elsewhere" if cuts(config) else "here"
    engines[number] = Distributed(Training(config, seed, group.sent, items))
    found: set[int] = living
    return found


def _obey(group: Group, engine: Distributed, code: int, numbers: list[int]) -> None:
    training = engine.training
    if code == STEP:
        training.progress.epoch, training.progress.step = numbers
        engine.train()
    elif code == LOAD:
        engine.share_weights(None)
    elif code == RESTORE:
        kinds: dict[str, Any] = group.share_object(None)
        engine.share_state({name: engine.blank(name, *kind) for name, kind in kinds.items()})
    elif code == WEIGHTS:
        engine.weights()
    elif code == MOMENTS:
        engine.moments()
    elif code == RANK:
        engine.gathered_ranks(*group.share_object(None))

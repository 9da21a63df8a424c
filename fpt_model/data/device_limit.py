"""How much of a GPU's memory histories may take; past it they stay in the machine's.

`FPT_DEVICE_HISTORIES` says it, as `8GB` or in bytes. Without it all of them go to the GPU.
"""

import os
import re

import torch

from fpt_model.data.sequences import Sequences
from fpt_model.errors import ModelError

NAME = "FPT_DEVICE_HISTORIES"
# of an interaction: five numbers of eight bytes and two of one as they are loaded, at most seven of
# four as kernels read them
BYTES_EACH = 70
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_SAID = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)


def limit() -> int | None:
    """Bytes; None without a limit.

    Raises:
        ModelError: what is said is no amount.
    """
    said = os.environ.get(NAME, "").strip()
    if not said:
        return None
    found = _SAID.fullmatch(said)
    if not found:
        raise ModelError(f"{NAME} is no amount", got=repr(said), expected="such as 8GB")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def placed(sequences: Sequences, device: torch.device) -> Sequences:
    """Sequences to compute with on a device, their histories there too if they may.

    Raises:
        ModelError: see `limit`.
    """
    most = limit()
    if most is None or device.type == "cpu" or len(sequences.items) * BYTES_EACH <= most:
        return sequences.to(device)
    return sequences.to(device, histories=torch.device("cpu"))

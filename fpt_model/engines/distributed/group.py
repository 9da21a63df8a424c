"""The processes of one training: how they meet, and what the first one tells the others.

Rank 0 leads: it runs the command as if it were alone, reads and writes all files, and tells the
others each thing that all do together. What it tells goes over gloo, and waits as long as the
leader is busy; gradients and weights go over NCCL between GPUs.
"""

import datetime
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.distributed as dist
from torch import Tensor

from fpt_model.engines.distributed.limits import SHARES
from fpt_model.errors import LostRankError, ModelError
from fpt_model.version import code_version

BUILD, STEP, LOAD, RESTORE, WEIGHTS, MOMENTS, RANK, END = range(8)
MEET = datetime.timedelta(minutes=5)
BUSY = datetime.timedelta(days=1)  # a leader that validates, or writes, is not lost


@dataclass
class Group:
    """This process and the others.

    Attributes:
        rank: its number.
        world: how many there are.
        told: between CPUs, for what is told.
        data: between devices, for gradients and weights.
        sent: the sequences that the others have.
        out_of_step: whether this one left off in the middle of what all do together.
    """

    rank: int
    world: int
    told: Any
    data: Any
    sent: Any = None
    out_of_step: bool = False
    current: "ClassVar[Group | None]" = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """What all ranks do: one that fails in the middle of it can't even take leave.

        Raises:
            LostRankError: another rank is gone.
        """
        try:
            with lost_contact():
                yield
        except Exception:
            self.out_of_step = True
            raise

    def tell(self, code: int, *numbers: int) -> None:
        """What all do next, and three numbers for it."""
        if self.out_of_step:
            raise LostRankError("a step failed on the first process")
        header = torch.tensor([code, *numbers, 0, 0, 0][:4])
        with lost_contact():
            dist.broadcast(header, 0, group=self.told)

    def hear(self) -> list[int]:
        """What `tell` said."""
        header = torch.zeros(4, dtype=torch.int64)
        with lost_contact():
            dist.broadcast(header, 0, group=self.told)
        return header.tolist()

    def share_object(self, value: Any) -> Any:
        """The leader's value, to all."""
        box = [value]
        with lost_contact():
            dist.broadcast_object_list(box, 0, group=self.told)
        return box[0]

    def gather(self, value: Any) -> list[Any] | None:
        """Everybody's value in the order of ranks, to the leader."""
        found = [None] * self.world if self.rank == 0 else None
        with lost_contact():
            dist.gather_object(value, found, 0, group=self.told)
        return found

    def share(self, values: list[Tensor]) -> None:
        """The leader's tensors, to all, in place."""
        with lost_contact(), torch.no_grad():
            for value in values:
                dist.broadcast(value, 0, group=self.data)


def meet(device: torch.device) -> Group:
    """Join the other processes.

    Raises:
        ModelError: they run other versions; there are too many; they did not come.
    """
    world, local = int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_RANK", "0"))
    if world > SHARES:
        raise ModelError("Too many processes", got=world, expected=f"at most {SHARES}")
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise ModelError("Too few GPUs", got=torch.cuda.device_count(), expected=local + 1)
        torch.cuda.set_device(local)
    try:
        dist.init_process_group("gloo", timeout=MEET)
    except (RuntimeError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        raise ModelError(f"The {world} processes did not meet", got=cause) from error
    try:
        _refuse_other_versions(world)
    except ModelError:
        # a process that ends while gloo still listens is aborted now and then
        dist.destroy_process_group()
        raise
    told = dist.new_group(backend="gloo", timeout=BUSY)
    data = dist.new_group(backend="nccl") if device.type == "cuda" else told
    Group.current = Group(dist.get_rank(), world, told, data)
    return Group.current


def _refuse_other_versions(world: int) -> None:
    """Bits and messages must be the same everywhere.

    Raises:
        ModelError: they are not.
    """
    python = ".".join(platform.python_version_tuple()[:2])
    cuda = torch.version.cuda or "none"
    own = {
        "code": code_version(), "torch": torch.__version__, "CUDA": cuda, "Python": python
    }  # fmt: skip
    found: list[dict[str, str]] = [{}] * world
    with lost_contact():
        dist.all_gather_object(found, own)
    for rank, other in enumerate(found):
        unlike = [name for name in own if other.get(name) != found[0].get(name)]
        if unlike:
            raise ModelError(
                "The processes of a training have other versions",
                got=", ".join(f"{name} {other.get(name)} on rank {rank}" for name in unlike),
                expected=", ".join(f"{name} {found[0].get(name)} as on rank 0" for name in unlike),
                to_do="Install the same on each machine",
            )


def leave() -> None:
    """Tell the others that all is done, if this one leads, and end the group."""
    group, Group.current = Group.current, None
    if group is not None and group.rank == 0:
        group.tell(END)
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def lost_contact() -> Iterator[None]:
    """What gloo and NCCL say when a process is gone, as an error of its own.

    Raises:
        LostRankError: one is.
    """
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or any(word in str(error) for word in _GONE):
            raise LostRankError(str(error).partition("\n")[0]) from error
        raise


_GONE = ("gloo", "Gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe")

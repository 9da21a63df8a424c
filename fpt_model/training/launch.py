"""One training on several processes of this machine, started by torchrun's launcher.

Whatever ends one of them ends all, with one line; the same command goes on from the checkpoint.
"""

import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from fpt_model.errors import LostRankError, ModelError

LOST = 75  # exit status of a process whose neighbour is gone: not the cause
KNOWN = (2, 130, 143)  # it has said itself what happened


def is_launched() -> bool:
    """Whether torchrun, or what speaks like it, started this process."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def gpus_for(device: str, asked: int | None) -> int:
    """How many GPUs a training takes that takes several: those asked for, else all; 1 on a CPU."""
    import torch

    there = 0 if device == "cpu" else torch.cuda.device_count()
    return asked or max(1, there)


def refuse_missing(gpus: int, batch_size: int, processes: int) -> None:
    """Refuse what can't start, before anything does.

    Raises:
        ModelError: there are fewer GPUs, or more processes than a batch has shares.
    """
    import torch

    from fpt_model.engines.distributed.limits import SHARES
    from fpt_model.training.places import refuse_fewer

    refuse_fewer(gpus, torch.cuda.device_count())
    if processes > min(SHARES, batch_size):
        raise ModelError(
            "Too many processes for a batch",
            got=processes,
            expected=f"at most {min(SHARES, batch_size)}",
            to_do="Use fewer, or a larger batch_size",
        )


def launch(arguments: Sequence[str], processes: int) -> int:
    """Run this package's command in so many processes; returns the exit status.

    Raises:
        ModelError: one died without a word.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.disable(logging.CRITICAL)  # the launcher's own report has thirty lines
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        log_line_prefix_template="",
    )
    try:
        elastic_launch(config, sys.executable)("-m", "fpt_model", *arguments)
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        return _status(codes, processes)
    except SignalException as error:
        return 128 + int(error.sigval)
    finally:
        logging.disable(logging.NOTSET)
    return 0


def _status(codes: dict[int, int], processes: int) -> int:
    said = [code for code in codes.values() if code in KNOWN]
    if said:
        return said[0]
    rank, code = min(codes.items(), key=lambda pair: (pair[1] == LOST, pair[0]))
    raise ModelError(
        f"Process {rank} of {processes} (counted from 0) is gone, and the others with it",
        got=signal.Signals(-code).name if code < 0 else f"exit status {code}",
        to_do="The same command goes on from the last checkpoint",
    )


def as_rank(lead: Callable[[], int], device_name: str) -> int:
    """What one of the processes does: the first leads, the others follow.

    Args:
        lead: the command, as if it were alone; returns the exit status.
        device_name: `auto`, `cpu` or `cuda`.
    """
    from fpt_model.engines.choose import device_of
    from fpt_model.engines.distributed.follow import follow
    from fpt_model.engines.distributed.group import leave, meet

    try:
        device = device_of(device_name)
        try:
            group = meet(device)
        except ModelError:
            if os.environ["RANK"] == "0":
                raise
            return 2  # the first one says it
        if group.rank:
            follow(group, device)
            leave()
            return 0
        threading.Thread(target=_end_with_launcher, args=(os.getppid(),), daemon=True).start()
        try:
            status = lead()
        finally:
            if not group.out_of_step and not isinstance(sys.exception(), LostRankError):
                leave()
        return status
    except LostRankError as error:
        if "TORCHELASTIC_RUN_ID" not in os.environ:  # nobody watches, who would say it
            print(f"error: another process of the training is gone: {error}", file=sys.stderr)
        sys.stdout.flush()
        os._exit(LOST)  # to take leave of a group takes all of it


def _end_with_launcher(parent: int) -> None:
    """A killed launcher stops nobody: then the first process keeps a checkpoint and ends all."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)

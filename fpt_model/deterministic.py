"""Settings of PyTorch for a whole process, so that repeated work has the same bits."""

import torch


def prepare(threads: int | None) -> None:
    """Refuse operations whose bits differ from run to run; take so many CPU threads."""
    # not `use_deterministic_algorithms`: it imports the compiler, half the time of a short command
    torch.set_deterministic_debug_mode("error")
    # it would fill every new tensor with NaN first; every one is written before it is read
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if threads:
        torch.set_num_threads(threads)

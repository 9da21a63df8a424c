"""Launches that run beside others."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class SideStreams:
    """Streams beside the current one; on a CPU there are none, and all runs in turn.

    Args:
        count: how many.
        device: where launches run.
    """

    def __init__(self, count: int, device: torch.device) -> None:
        there = device.type == "cuda"
        self.streams = [torch.cuda.Stream() for _ in range(count if there else 0)]
        self.busy: set[int] = set()

    @contextmanager
    def on_side_stream(self, number: int = 0) -> Iterator[None]:
        """What is launched within begins after all that was launched before, and may run long."""
        if not self.streams:
            yield
            return
        side = self.streams[number]
        self.busy.add(number)
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            yield

    def join_streams(self, *numbers: int) -> None:
        """What is launched from here on waits for all that runs beside, or for these streams."""
        joined = self.busy & set(numbers or self.busy)
        for number in sorted(joined):
            torch.cuda.current_stream().wait_stream(self.streams[number])
        self.busy -= joined

"""Python's collector of garbage, held while modules are imported.

An import makes hundreds of thousands of objects, and none of them is garbage. Python looks at all
of them again and again as they become more: a fifth of what Great Expectations' import takes, and
a third of a Prefect server's.
"""

import atexit
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Collector:
    """Held by whoever imports, on any thread, until the last one is through.

    Attributes:
        freezes: whether what is there at the end of that is not looked at before the process ends.
            Right where it has just been started; elsewhere garbage may be among it.
    """

    def __init__(self) -> None:
        self.freezes = False
        self._holders = 0
        self._lock = threading.Lock()

    def hold(self) -> None:
        """Collect nothing until `release`."""
        with self._lock:
            self._holders += 1
            gc.disable()

    def release(self) -> None:
        """Collect again, if nobody else holds it."""
        with self._lock:
            self._holders -= 1
            if not self._holders:
                if self.freezes:
                    gc.freeze()
                    atexit.register(gc.unfreeze)  # else nanobind finds that objects are left
                gc.enable()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it for a block."""
        self.hold()
        try:
            yield
        finally:
            self.release()


collector = Collector()
"""The one of this process."""

"""Imports that take seconds, begun beside work that does without them.

Nothing rests on it. Who needs one of these modules imports it as ever, and then waits for what is
begun; what can't be imported fails there again, and is told there. Python waits for a module of
that name alone: what lies below a package that is under way is not to be imported meanwhile.
"""

import atexit
import threading
from collections.abc import Sequence
from importlib import import_module

from tasks.collector import collector

# Prefect needs the first when a flow begins. The last, audits, needs all others: between two of
# them the end of the process is heard. `expectations` sets what Great Expectations reads on its
# import.
AHEAD = (
    *("fastapi.encoders", "expectations", "pandas", "sqlalchemy", "expectations.library"),
    "expectations.runner",
)


class Ahead:
    """Imports some modules on a thread of its own.

    Args:
        names: of the modules, in this order.
    """

    def __init__(self, names: Sequence[str] = AHEAD) -> None:
        self._names = names
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._import, daemon=True, name="imports ahead")

    def begin(self) -> None:
        """Start, and do not wait."""
        # the interpreter must not end in the middle of a module
        atexit.register(self.end)
        collector.hold()
        self._thread.start()

    def end(self) -> None:
        """Begin no further module, and wait for the one that is under way."""
        self._ending.set()
        self._thread.join()

    def _import(self) -> None:
        try:
            for name in self._names:
                if self._ending.is_set():
                    return
                import_module(name)
        except BaseException:  # a thread's error would be a traceback that nobody asked for
            return
        finally:
            collector.release()

"""How programs of tests that were forked from a loaded process end: as Python ends them."""

import atexit
import sys
import threading
from collections.abc import Callable
from contextlib import suppress


def ended(program: Callable[[], object]) -> int:
    """Run it to the end that Python gives it; what is loaded is not taken down again."""
    code = 0
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # as Python does: first threads are waited for
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    return code & 0xFF

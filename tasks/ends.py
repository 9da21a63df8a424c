"""A command that is told to end (Ctrl-C, SIGTERM) ends in order, and in time.

In order: the signal becomes an exception in the flow's own code, never within Prefect's engine,
which would call the run crashed; the engine is then given the state Cancelled. In time: a thread
counts from the moment of the signal, also while the main one is in a library's code that notices
none, and ends the process when it is not over by then.
"""

import atexit
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from tasks.last_words import interrupted

DEADLINE_SECONDS = 3.5  # from a signal to the end by force; five is what we promise
NUMBERS = (signal.SIGINT, signal.SIGTERM)


class InterruptedRunError(KeyboardInterrupt):
    """The command was told to end."""


class Ends:
    """What this process does about signals.

    Attributes:
        received: the first one.
        said: whether the user was told of it.
        server_lost: whether Prefect's server was not there at the end.
        at_last: what is done before an end by force.
        wanted: whether this process is a command, which watches from when it is invoked.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.said = False
        self.server_lost = False
        self.at_last: list[Callable[[], None]] = []
        self.wanted = False
        self._watching = False
        self._deferred = False

    @property
    def code(self) -> int:
        """Exit code of a shell's custom: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + (self.received or signal.SIGINT)

    @property
    def told(self) -> bool:
        """Whether this command was told to end."""
        return self._watching and self.received is not None

    def watch(self) -> None:
        """Begin; in the main thread."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._sockets = (reader, writer)
        threading.Thread(target=self._count, args=(reader,), daemon=True, name="ends").start()
        self._watching = True
        before = sys.unraisablehook
        sys.unraisablehook = lambda lost: None if _is_ours(lost.exc_value) else before(lost)
        self.take()

    def take(self) -> None:
        """Make the handlers ours: Prefect's engine puts its own in place for a run's time."""
        if self._watching:
            for number in NUMBERS:
                signal.signal(number, self._note)

    def release(self) -> None:
        """Leave signals to the caller: `fpt up` and the prompt have their own ways."""
        if not self._watching:
            return
        self._watching = False
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def finish(self, code: int | str | None) -> NoReturn:
        """The work is over: end, as Python does, but leave memory to the system.

        Python would go through all objects first, for a second where Prefect and Great
        Expectations are imported. A signal now only sees that what is left takes moments. Without a
        server, Prefect's last reports are left out: they would be tried for minutes.
        """
        self._deferred = True
        sys.stdout.flush()
        if isinstance(code, str):
            print(code, file=sys.stderr)
        status = code if isinstance(code, int) else int(code is not None)
        if self.server_lost:
            os._exit(status)
        if self.told:
            status = self.code
            logging.shutdown()  # Prefect's last reports come before `atexit` ends their server
        else:
            threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(status)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Only note a signal while code runs that must not be broken off; it is short."""
        before, self._deferred = self._deferred, True
        try:
            yield
        finally:
            self._deferred = before

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within `deferred`: a signal, also one that was noted, is an exception here.

        Raises:
            InterruptedRunError: there was one.
        """
        before, self._deferred = self._deferred, False
        self.take()
        try:
            self.check()
            yield
        finally:
            self._deferred = before

    def check(self) -> None:
        """Raise what was noted and not raised yet."""
        if self.told:
            raise InterruptedRunError

    def _note(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            return  # the end is under way
        self.received = number
        if not self._deferred:
            raise InterruptedRunError

    def _count(self, reader: socket.socket) -> None:
        while (number := reader.recv(1)[0]) not in NUMBERS:
            continue  # a timer's, say
        time.sleep(DEADLINE_SECONDS)
        self.received = self.received or number
        for action in self.at_last:
            with suppress(Exception):
                action()
        if not self.said:
            os.write(2, f"\n{interrupted(self.code)}\n".encode())
        os._exit(self.code)


def _is_ours(error: BaseException | None) -> bool:
    """Raised where nobody can catch it, as in a weak reference's callback: time sees to it."""
    return isinstance(error, InterruptedRunError)


ends = Ends()

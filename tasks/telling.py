"""What the UI is told besides states: tags, artifacts. A lost server never stops the work.

What could not be told is told in its order as soon as the server is back, at the latest when the
flow's own code has ended; what it never learns is in the warehouse and the log all the same.
"""

import logging
import socket
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
from prefect.settings import PREFECT_API_URL

T = TypeVar("T")
LOOK_SECONDS = 2.0
LOST = (httpx.TransportError, ConnectionError, TimeoutError)
_waiting: deque[Callable[[], bool]] = deque()


def tell(action: Callable[[], object]) -> None:
    """Do it, after what still waits; if nobody listens now, later, as this task run's own."""
    context = copy_context()
    _waiting.append(lambda: (context.run(action), True)[1])
    tell_the_rest()


def tell_the_rest() -> None:
    """Try what waits."""
    while _waiting:
        if not try_to(_waiting[0], lost=False):
            return
        _waiting.popleft()


def try_to(action: Callable[[], T], lost: T) -> T:
    """Do it once; `lost` when nobody listens.

    That is looked at first: Prefect's client would try again for a minute, each time.
    """
    try:
        if not listens(PREFECT_API_URL.value()):
            return lost
        return action()
    except LOST as error:
        logging.getLogger("prefect.telling").info("not told yet: %r", error)
        return lost


def listens(api: str | None) -> bool:
    """Whether anybody answers at an address; without one, Prefect starts a server by itself."""
    if api is None:
        return True
    parts = urlsplit(api)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), LOOK_SECONDS).close()
    except OSError:
        return False
    return True

"""`python -m flows.temporary_server FD`: Prefect's API, without its UI, on a socket of ours.

Prefect starts such a server itself when it is told of none (`SubprocessASGIServer`), but as a
child that shares the terminal's signals, outlives a killed parent and is not started again.
"""

import gc
import socket
import sys

gc.disable()  # until it answers: see tasks/collector.py

import uvicorn  # noqa: E402 - a third of a second


class Server(uvicorn.Server):
    """One that collects garbage as soon as it is ready, but looks at nothing older."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """All of Prefect is imported and its database is there; then requests are taken."""
        await super().startup(sockets)
        gc.freeze()
        gc.enable()


def main() -> None:
    """Serve until SIGTERM. The socket keeps its kind: uvicorn's own `--fd` takes it for a file's,
    and then answers wait 40 ms for each other.
    """
    listener = socket.socket(fileno=int(sys.argv[1]))
    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        log_level="error",
        lifespan="on",
        timeout_graceful_shutdown=1,
    )
    Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()

"""Become a program that lives no longer than whoever started it.

`python leash.py PROGRAM …` with a pipe as its standard input: when the other end of the pipe
closes, by whatever end its holder came to, the whole process group is killed. The kernel's own
way (`PR_SET_PDEATHSIG`) is Linux's alone, is bound to the thread that started the child, reaches
no grandchildren, and needs Python code between fork and exec, where Prefect's log worker breaks.

Run as a file, without the packages of an environment, so that it takes milliseconds.
"""

import os
import signal
import sys


def main() -> None:
    """Leave a watcher behind in the same group, and become the program.

    The group's number is not given to others while the watcher is in it, so it kills no stranger.
    """
    if os.fork() == 0:
        _watch()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.execvp(sys.argv[1], sys.argv[1:])


def _watch() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):  # whoever reads them waits for their end
        os.dup2(nothing, stream)
    os.closerange(3, 1024)  # sockets and files are the program's
    while os.read(0, 1):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()

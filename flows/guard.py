"""How a command runs: what it says while it works, and the one message when it fails.

Exit codes: docs/how-to/command-line.md.
"""

import errno
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from flows import console, first_word, shown
from tasks.collector import collector
from tasks.ends import ends
from tasks.last_words import INTERRUPTED, asks_json, interrupted
from warehouse.errors import RefusedError, StepError
from warehouse.home import Home
from warehouse.locks import waiting

T = TypeVar("T")
FAULT, MISTYPED = 1, 2
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
_FULL_WORDS = ("No space left on device", "disk is full", "Disk quota exceeded", "File too large")


class Guarded(TyperGroup):
    """All commands: what fails outside their own guards is told in one line as well."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        first_word.begin()

        def invoked() -> Any:
            if ends.wanted:  # not before: here what a signal raises is told in one line
                ends.watch()
            return super(Guarded, self).invoke(ctx)

        try:
            return exit_on_error(lambda: _flushed(invoked), None)
        except Exception as error:
            if not _is_usage(error):
                raise
            error.message = _plain(error.message)  # type: ignore[attr-defined]
            if not asks_json():
                raise
            _tell(_mistyped(error))
            raise typer.Exit(MISTYPED) from error


def run_flow(flow: str, given: Mapping[str, Any], *, wait: bool | None = None) -> Any:
    """Run a flow with its progress shown; its log, tracebacks included, goes to `logs/fpt.log`.

    Args:
        flow: where it is, as `flows.run:run`; imported when all else is ready, as it is heavy.
        given: its parameters, `home` among them.
        wait: whether it waits for another run in the same home; None: at a terminal.
    """

    home: Path = given["home"]

    def logged(place: Home, reporter: shown.Shown) -> Any:
        from flows import server

        server.begin(place)  # takes as long as all that is imported meanwhile
        with collector.held():
            import prefect.flow_engine

            from flows.logs import log_to
            from flows.sweeping import swept
            from tasks.ahead import Ahead
            from tasks.progress import use

            log_to(home)
            asked = getattr(import_module(module), name)
            if "tasks.auditing" in sys.modules:  # it will audit, if there is anything new
                Ahead().begin()
            server.connect(place)
        # our handlers stay in place: the engine's would break off its own reports, and is of use
        # to workers only
        prefect.flow_engine.capture_sigterm = nullcontext  # type: ignore
        use(reporter)
        with swept(home):
            return _whole(lambda: asked(**given), place)

    module, _, name = flow.partition(":")

    def watched() -> Any:
        place = Home.at(home)  # refused before anything heavy is imported
        with shown.progress() as reporter:
            if wait is not None or sys.stderr.isatty():
                waiting.ask(wait is not False, reporter.note)
            return logged(place, reporter)

    return exit_on_error(watched, home)


def _whole(flow: Callable[[], T], home: Home) -> T:
    """A flow's result, also when the engine could not tell its server of the end.

    A signal is raised within the flow's own code alone (`tasks/flow_runs.py`).
    """
    from flows.server import tell_later
    from tasks.flow_runs import current

    with ends.deferred():
        try:
            result = flow()
        except Exception:
            if not current.done:
                raise
            ends.server_lost = True
            console.err.print("Prefect's server is lost: it is told later that this run is done.")
            if current.id is not None:
                tell_later(home, current.id, "done while the server was away")
            result = current.outcome
    ends.check()
    return result


def exit_on_error(action: Callable[[], T], home: Path | None) -> T:
    """Run `action`; end the process with one clear message when it fails.

    Args:
        action: all of the work.
        home: where the traceback of an error that nobody foresaw is kept; None: it is not.
    """
    try:
        return action()
    except typer.Exit:
        raise
    except BrokenPipeError:
        console.reader_gone(console.out)
    except Exception as error:
        if _is_usage(error):
            raise
        told = _told(error, home) if ends.received is None else None
    except KeyboardInterrupt:
        told = None
    with suppress(OSError):
        ends.said = True
        _tell(told)
    raise typer.Exit(ends.code if told is None else told.code)


@dataclass(frozen=True)
class _Told:
    """How a failure is told: in one line, or in its parts to scripts."""

    line: str
    what: str
    code: int
    got: str | None = None
    expected: str | None = None
    to_do: str | None = None

    def as_json(self) -> str:
        """Its parts; what is empty is null."""
        parts = ("what", "got", "expected", "to_do", "code")
        return json.dumps({name: getattr(self, name) or None for name in parts})


def _tell(told: _Told | None) -> None:
    """Print why a command failed, or (None) that it was interrupted; the last line on stderr."""
    if not asks_json():
        console.fail(INTERRUPTED if told is None else told.line)
        return
    console.write_err(interrupted(ends.code) if told is None else told.as_json())


def _refusal(error: RefusedError) -> _Told:
    return _Told(str(error), error.what, error.code, error.got, error.expected, error.to_do)


def _mistyped(error: Any) -> _Told:
    where = getattr(error.ctx, "command_path", "fpt")
    said = error.format_message().rstrip(".")
    return _Told(said, said, MISTYPED, to_do=f"See `{where} --help`")


def _flushed(action: Callable[[], T]) -> T:
    """What was printed is written before the end, where a closed pipe is still ours to see."""
    result = action()
    sys.stdout.flush()
    return result


def _is_usage(error: Exception) -> bool:
    """Whether it is a mistyped command line, which Typer shows with the usage."""
    return hasattr(error, "show") and hasattr(error, "exit_code")


def _told(error: Exception, home: Path | None) -> _Told:
    """A failure by its cause; nothing that fails here may hide it."""
    if (known := _known(error)) is not None:
        # Prefect keeps the error; its frames would keep open connections to the end and past it.
        for one in _causes(error):
            traceback.clear_frames(one.__traceback__)
        return _refusal(known)
    said = _unforeseen(error, home)
    return _Told(said, said, FAULT)


def _unforeseen(error: Exception, home: Path | None) -> str:
    from flows.logs import keep_traceback

    said = " ".join(f"{type(error).__name__}: {error}".split())
    try:
        return (
            f"{said} (traceback in {keep_traceback(home)})" if home else f"{said} ({_where(error)})"
        )
    except Exception as second:
        return f"{said} ({_where(error)}; no traceback kept: {second})"


def _known(error: BaseException) -> RefusedError | None:
    """The cause of an error in words of ours, if it is one that a machine or a user makes."""
    chain = list(_causes(error))
    for one in chain:
        if isinstance(one, OSError) and one.errno in _CLOSED:
            return RefusedError(
                f"Can't write {one.filename or 'a file'}",
                got=one.strerror,
                to_do="Give a --home that this user may write to",
            )
        if _is_full(one):
            where = getattr(one, "filename", None)
            return StepError(
                f"The disk is full{f' at {where}' if where else ''}",
                got=_as_said(one),
                to_do="Free some of it; the same command goes on where it was",
            )
    ours = next((one for one in chain if isinstance(one, RefusedError)), None)
    return ours or _of_parameters(chain) or _of_prefect(chain)


def _as_said(error: BaseException) -> str:
    """What an error says, without numbers of errors and without advice for other cases."""
    said = error.what if isinstance(error, RefusedError) else getattr(error, "strerror", None)
    return " ".join((said or str(error)).split())[:200]


def _of_parameters(chain: list[BaseException]) -> RefusedError | None:
    """Settings or parameters that pydantic refuses, without its own words around them."""
    for one in chain:
        if type(one).__name__ == "ParameterTypeError":
            said = str(one).partition(":\n - ")[2].replace("\n - ", "; ")
            return RefusedError("Wrong parameters", got=_plain(said))
        if type(one).__name__ == "ValidationError" and hasattr(one, "errors"):
            wrong = [_of_field(found) for found in one.errors()]
            return RefusedError("Wrong settings", got="; ".join(wrong))
    return None


def _of_field(found: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {_plain(found['msg'])} ({found['input']!r:.80})"


def _plain(said: str) -> str:
    """Without the word that pydantic puts before what others say."""
    return said.replace("Value error, ", "")


def _is_full(error: BaseException) -> bool:
    number = error.errno if isinstance(error, OSError) else None
    return number in _FULL or any(word in str(error) for word in _FULL_WORDS)


def _of_prefect(chain: list[BaseException]) -> RefusedError | None:
    """What its server has, if that is what failed."""
    if not any(type(one).__module__.partition(".")[0] in ("prefect", "httpx") for one in chain):
        return None
    from flows.server import damaged

    return damaged()


def _causes(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _where(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"

"""What every flow run does besides its steps: a sign of life, its tags, its failure's cause.

Readers see what a failed run has published before it failed, and its audits.
"""

import inspect
import os
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Failed

from tasks import servers
from tasks.ends import InterruptedRunError, ends
from tasks.last_words import INTERRUPTED
from tasks.progress import note
from tasks.telling import tell, tell_the_rest
from tasks.temporary import temporary
from warehouse import forgetting, garbage, locks, pruning
from warehouse.database import locked
from warehouse.errors import RefusedError
from warehouse.faults import point
from warehouse.garbage import SIGNS_OF_LIFE
from warehouse.home import Home
from warehouse.keeping import keep_whole, prune
from warehouse.lake import elsewhere
from warehouse.locks import waiting

P = ParamSpec("P")
R = TypeVar("R")
WAIT = "FPT_WAIT_SECONDS"
TURN_SECONDS = 7200.0
PULSE_SECONDS = 600.0  # between two lines in its log
SIGN_OF_LIFE, ALONE = SIGNS_OF_LIFE  # of a run on a server; of one with a server of its own


@dataclass
class Current:
    """The flow run of this process.

    Attributes:
        id: Prefect's, once its own code runs.
        done: its outcome is there, whatever its server was told.
        outcome: what it returned.
    """

    id: UUID | None = None
    done: bool = False
    outcome: Any = None


current = Current()


def with_run_lifecycle(function: Callable[P, R]) -> Callable[P, R]:
    """A flow's function (with a parameter `home`) that shows it lives and says why it failed.

    A refusal ends the run in a state whose message begins with the cause, and without the
    engine's traceback; callers still get the error itself. A signal to a command of ours ends it
    as cancelled (a worker's run is left to Prefect, and may be resumed).
    """
    signature = inspect.signature(function)

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            home = Home.at(signature.bind(*args, **kwargs).arguments.get("home"))
            with ends.at_once(), taking_turns(), alive(home):
                current.outcome = function(*args, **kwargs)
                current.done = True
                tell_the_rest()
                return cast(R, current.outcome)
        except InterruptedRunError:
            return cast(R, Cancelled(message=INTERRUPTED))
        except Exception as error:
            if ends.told:  # a library made another error of it
                return cast(R, Cancelled(message=INTERRUPTED))
            if not isinstance(error, RefusedError):
                raise
            traceback.clear_frames(
                error.__traceback__
            )  # Prefect keeps the error, and so its frames
            _explain(error)
            return cast(R, Failed(message=str(error), data=error))

    return inner


@contextmanager
def taking_turns() -> Iterator[None]:
    """A deployment's run waits for another one in the same home, and says for whom.

    Nobody sits beside it who would start it again. Past `FPT_WAIT_SECONDS` it is refused, so that
    a run that hangs does not hold up all later ones in silence.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        yield
        return
    before = replace(waiting)
    waiting.tell, waiting.pulse = note, PULSE_SECONDS
    waiting.longest = float(os.environ.get(WAIT, TURN_SECONDS))
    try:
        yield
    finally:
        vars(waiting).update(vars(before))


@contextmanager
def alive(home: Home) -> Iterator[None]:
    """Hold a lock named after this flow run; its file stays when the process dies in between.

    `tasks/dead_runs.py` knows by that file that a run died, whatever its state says.
    """
    identity = flow_run.id
    if identity is None:
        yield
        return
    name = f"{ALONE if temporary.used else SIGN_OF_LIFE}{identity}"
    current.id = UUID(str(identity))
    with locked(home, name):
        forgetting.wait_for_forgetting(home)
        clear_up(home, name)
        try:
            yield
        except InterruptedRunError:
            release(home, name)
            raise
        except Exception:
            leave(home, name)
            raise
        # a signal to a worker's run is no orderly end: the file stays, and it may be resumed
        leave(home, name)


def clear_up(home: Home, own: str) -> None:
    """Remove what dead runs of this home left, mend what is damaged, and say so.

    It never fails a run.
    """
    try:
        gone, dead = garbage.collect(home, own), servers.died(home)
        if gone:
            note(f"removed what dead runs left: {', '.join(gone)}")
        _finish(lambda: forgetting.go_on(home))
        _finish(lambda: pruning.go_on(home, own))
        _finish(lambda: elsewhere.carry_out(home, own))
        for mended in keep_whole(home, whole=bool(gone or dead)):
            note(mended)
        with suppress(RefusedError):  # somebody publishes: the next run prunes
            prune(home, wait_seconds=0)
    except Exception as error:  # whatever it is: the work matters more
        get_run_logger().warning("Not all was cleared up: %s", error)
        return
    tell(lambda: servers.settle(dead))


def _finish(step: Callable[[], Iterable[str]]) -> None:
    """Go on with what somebody began; one that can't be finished keeps no other from it."""
    try:
        for done in step():
            note(done)
    except Exception as error:
        get_run_logger().warning("Not all was cleared up: %s", error)


def leave(home: Home, name: str) -> None:
    """`release`, and delete what other homes withdrew while this run was at work."""
    release(home, name)
    _finish(lambda: elsewhere.carry_out(home))


def release(home: Home, name: str) -> None:
    """Remove a sign of life; nobody waits for it, as flow runs' ids are never used twice."""
    point("before a sign of life goes")
    locks.remove(home.locks / f"{name}.lock")


def tag(*words: str) -> None:
    """Add tags to this flow run, to find it by in the UI."""
    if flow_run.id is None:
        return
    identity, tags = flow_run.id, sorted({*flow_run.tags, *words})

    def update() -> None:
        with get_client(sync_client=True) as client:
            client.update_flow_run(identity, tags=tags)

    tell(update)


def _explain(error: RefusedError) -> None:
    """The cause as the log's first error, and as an artifact: what was refused, what to do."""
    get_run_logger().error(str(error))
    lines = [f"## {error.what}", ""]
    facts = {"got": error.got, "expected": error.expected, "to do": error.to_do}
    lines += [f"- **{name}** {_quoted(text)}" for name, text in facts.items() if text]
    text = "\n".join(lines)
    tell(lambda: create_markdown_artifact(text, key="failure", description=error.what))


def _quoted(text: str) -> str:
    """Text of others between back quotes, so that it is shown and not understood."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`"

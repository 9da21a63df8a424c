"""A run with nothing to do is answered at once: to look takes a second, Prefect several.

A flow that a server is told of runs all the same, so that its schedule has a run to show.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows import console
from flows.parameters import Experiment, experiment
from flows.set_server import may_be_set

if TYPE_CHECKING:
    from warehouse.home import Home

NOTHING_TO_DO = "nothing to do: all of it is published already"


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: which snapshots and trainings, and whether anything is new."""

    snapshot_ids: tuple[str, ...]
    run_ids: tuple[str, ...]
    changed: bool


def unchanged(given: Mapping[str, Any]) -> Outcome | None:
    """What a run with these parameters would find, if it is to change nothing; it says so.

    None where there is work, something to mend, or a server that wants to know: then the flow
    has to run. It refuses what is wrong as well.
    """
    from warehouse.errors import RefusedError

    asked = experiment(given)
    if asked.accept or asked.pool or may_be_set():
        return None
    try:
        found = _published(asked)
    except (RefusedError, OSError):
        return None
    if found is not None:
        console.err.print(NOTHING_TO_DO, highlight=False)
    return found


def _published(asked: Experiment) -> Outcome | None:
    if asked.home is None or not asked.home.is_dir():
        return None  # before anything heavy is imported
    from flows.plan import after_landing, load_of
    from tasks.trainings import DONE
    from warehouse.home import Home
    from warehouse.standing import standing

    place = Home.existing(asked.home)
    if not _is_tidy(place):
        return None
    with load_of(place, asked) as begins:
        if begins is None:
            return None
    known = standing(place, asked.dataset)
    rows = list(after_landing(place, asked, known, begins.load_id, ""))
    if any(row["state"] != DONE for row in rows):
        return None
    snapshots, runs = (
        tuple(row["id"] for row in rows if row["step"] == step) for step in ("prepare", "train")
    )
    whole = all(_is_whole(place, run_id, known.checkpoints[run_id]) for run_id in runs)
    return Outcome(snapshots, runs, changed=False) if whole else None


def _is_whole(place: "Home", run_id: str, checkpoint: str) -> bool:
    """Whether nothing that a training left needs mending."""
    from tasks import folders

    return not folders.lacking(place.run(run_id), checkpoint)


def _is_tidy(place: "Home") -> bool:
    """Whether a flow would find nothing to mend or clear up in this home."""
    from warehouse import forgetting, garbage, pruning
    from warehouse.catalogue import opened
    from warehouse.catalogue_tables import is_current
    from warehouse.database import is_held
    from warehouse.kept_catalogues import catalogues, copy_fault, is_whole
    from warehouse.lake import elsewhere
    from warehouse.store import listed
    from warehouse.stored_files import damaged
    from warehouse.withdrawing import notes

    found = catalogues(place)
    if not found or not is_whole(found[0]) or copy_fault(place):
        return False
    with opened(place) as connection:
        if not is_current(connection, place) or any(damaged(place, listed(connection))):
            return False  # also of what is not asked for: a run takes it out of the catalogue
    if elsewhere.is_pending(place):  # a run was at work when it came
        return False
    dead = (path for path in garbage.signs_of_life(place) if not is_held(place, path.stem))
    left = (*notes(place, forgetting.LOCK), *notes(place, pruning.LOCK), *garbage.find(place))
    return not left and not any(dead)

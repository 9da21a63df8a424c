"""What a run would do: looks, and changes nothing."""

from typing import Any

from flows.parameters import Experiment
from fpt_model.config import Config, resolve
from tasks.training import run_id
from warehouse.catalogue import opened
from warehouse.database import statements
from warehouse.datasets import find
from warehouse.forgetting import forgotten_users
from warehouse.home import Home
from warehouse.landing import load_id_of
from warehouse.preparing import snapshot_id
from warehouse.transforms.options import Options

Row = dict[str, Any]


def plan(asked: Experiment) -> list[Row]:
    """The steps of a run, each with its id, whether it is there, and seconds from past runs.

    Raises:
        RefusedError: the source can't be read.
    """
    place = Home.existing(asked.home)
    archive = asked.source or find(asked.dataset).archive(place.sources)
    if asked.source is None and not archive.exists():
        what = f"{asked.dataset}: fetch (or generate) it, then land and everything after"
        return [_row("fetch", what, "", "to do", None)]
    known = _known(place, asked)
    load_id = load_id_of(find(asked.dataset), archive, forgotten_users(place, asked.dataset))
    rows = [_row("land", f"{asked.dataset} from {archive.name}", load_id, *_state(known, load_id))]
    for retention in asked.retentions:
        snapshot = snapshot_id(load_id, retention, Options(asked.as_of))
        what = f"{retention} as of {asked.as_of}" if asked.as_of else str(retention)
        rows.append(_row("prepare", what, snapshot, *_state(known, snapshot)))
        for model in dict.fromkeys(asked.models_on(retention)):
            config = resolve(str(model), asked.preset)
            rows += [_training(known, snapshot, config, seed) for seed in range(asked.seeds)]
    return rows


def _training(known: Row, snapshot: str, config: Config, seed: int) -> Row:
    identity = run_id(snapshot, config, seed)
    state, _ = _state(known, identity)
    seconds = None if state == "done" else known.get(f"seconds {config.model}")
    return _row("train", f"{config.model} seed {seed}", identity, state, seconds)


def _row(step: str, what: str, identity: str, state: str, seconds: float | None) -> Row:
    return {"step": step, "what": what, "id": identity, "state": state, "seconds": seconds}


def _state(known: Row, identity: str) -> tuple[str, float | None]:
    return ("done" if identity in known else "to do"), None


def _known(place: Home, asked: Experiment) -> Row:
    """Ids that are published, and the mean seconds of past trainings of each model."""
    with opened(place) as connection:
        rows = connection.execute(statements("questions/known"), [asked.dataset, asked.preset])
        return dict(rows.fetchall())

"""What a run would do: looks, and changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.parameters import Experiment
from fpt_model.variants import AnyConfig
from tasks.settings import preset_name
from tasks.trainings import DONE, PUBLISH, TO_DO, run_id, state_of
from warehouse.archive import open_archive
from warehouse.database import IN_MEMORY, connected
from warehouse.fetch import is_there
from warehouse.forgetting import forgotten_users
from warehouse.home import Home
from warehouse.known import find, is_own, newest_load
from warehouse.landing import DataSet, load_id_of
from warehouse.own_data.description import Description
from warehouse.own_data.opening import open_source
from warehouse.preparing import snapshot_id
from warehouse.standing import Standing, standing
from warehouse.synthetic.world import SyntheticWorld
from warehouse.synthetic.writer import write_archive
from warehouse.transforms.options import Options
from warehouse.visible import counted

UNKNOWN = "unknown"
Row = dict[str, Any]


def plan(asked: Experiment) -> list[Row]:
    """The steps of a run, each with its id, whether it is done, and seconds from past runs.

    Raises:
        RefusedError: a run would be refused: the source is no archive of the data set, or there is
            no such setting.
    """
    place = Home.existing(asked.home)
    known = standing(place, asked.dataset)
    with load_of(place, asked) as found:
        if found is None:
            rows = _before_fetching(asked, known)
        else:
            if found.load_id not in known.loads:
                _refuse_unfit(found)
            source = found.archive.name if found.archive else ""
            rows = [*after_landing(place, asked, known, found.load_id, source)]
    return [*rows, _total(rows)]


@dataclass(frozen=True)
class AskedLoad:
    """The load that a run would begin with.

    Attributes:
        load_id: its id, whether it is published or not.
        dataset, archive: what it would be landed from; None of own data, whose newest load stands
            for it when no source is given.
    """

    load_id: str
    dataset: DataSet | None = None
    archive: Path | None = None


@contextmanager
def load_of(place: Home, asked: Experiment) -> Iterator[AskedLoad | None]:
    """What a run would begin with, while the block runs; None where it would fetch it first.

    Raises:
        RefusedError: there is no such data set; its source can't be read.
    """
    if asked.source is None and is_own(asked.dataset):
        yield AskedLoad(newest_load(place, asked.dataset))
        return
    dataset = find(place, asked.dataset, asked.source)
    with _source_of(place, dataset, asked.source) as archive:
        if archive is None:
            yield None
            return
        forgotten = forgotten_users(place, asked.dataset)
        yield AskedLoad(load_id_of(dataset, archive, forgotten), dataset, archive)


@contextmanager
def _source_of(place: Home, dataset: DataSet, source: Path | None) -> Iterator[Path | None]:
    """What a run would land, while the block runs; None where it would have to fetch it first."""
    if source is not None or isinstance(dataset, Description):
        yield source
    elif dataset.is_synthetic:  # as a run does, but elsewhere
        with TemporaryDirectory() as folder:
            archive = dataset.archive(Path(folder))
            write_archive(SyntheticWorld(), archive)
            yield archive
    else:
        archive = dataset.archive(place.sources)
        yield archive if is_there(dataset, archive) else None


def _refuse_unfit(found: AskedLoad) -> None:
    if found.dataset is None or found.archive is None:
        return
    if isinstance(found.dataset, Description):
        columns = list(found.dataset.columns().values())
        with connected(IN_MEMORY) as connection:
            open_source(connection, found.archive, found.dataset.form, columns)
        return
    with TemporaryDirectory() as folder, open_archive(found.dataset, found.archive, Path(folder)):
        pass


def _before_fetching(asked: Experiment, known: Standing) -> list[Row]:
    """Nothing is known of the archive; where nothing is published yet, all is to be done."""
    state = UNKNOWN if known.loads else TO_DO
    rows = [
        _row("fetch", asked.dataset, "", TO_DO),
        _row("land", f"{asked.dataset}, once it is fetched", "", state),
    ]
    for retention in asked.retentions:
        rows.append(_row("prepare", _snapshot(asked, retention), "", state))
        for config, seed in asked.trainings_on(retention):
            rows.append(_row("train", _training(config, seed), "", state, _seconds(known, config)))
    return rows


def after_landing(
    place: Home, asked: Experiment, known: Standing, load_id: str, source: str
) -> Iterator[Row]:
    """The steps of a run from landing on, each with its state; `source` is the archive's name."""
    landed = DONE if load_id in known.loads else TO_DO
    what = f"{asked.dataset} from {source}" if source else f"{asked.dataset} as it was landed last"
    yield _row("land", what, load_id, landed)
    for retention in asked.retentions:
        snapshot = snapshot_id(load_id, retention, Options(asked.as_of))
        prepared = DONE if snapshot in known.snapshots else TO_DO
        yield _row("prepare", _snapshot(asked, retention), snapshot, prepared)
        for config, seed in asked.trainings_on(retention):
            identity = run_id(snapshot, config, seed)
            state = state_of(place, identity, known.checkpoints.get(identity))
            seconds = None if state in (DONE, PUBLISH) else _seconds(known, config)
            yield _row("train", _training(config, seed), identity, state, seconds)


def _total(rows: list[Row]) -> Row:
    """What all trainings together take; nobody has measured the rest."""
    trainings = [row for row in rows if row["step"] == "train"]
    left = [row for row in trainings if row["state"] != DONE]
    unknown = [row for row in left if row["seconds"] is None and row["state"] != PUBLISH]
    steps = [row for row in rows if row["state"] != DONE]
    what = f"{counted(len(left), 'training')} of {len(trainings)}" if steps else "nothing to do"
    if unknown:
        what += f"; unknown how long: no past run tells of {len(unknown)} of them"
    elif left:
        what += "; what is not training comes on top"
    seconds = None if unknown or not left else sum(row["seconds"] or 0.0 for row in left)
    return _row("total", what, "", TO_DO if steps else DONE, seconds)


def _snapshot(asked: Experiment, retention: Any) -> str:
    return f"{retention} as of {asked.as_of}" if asked.as_of else str(retention)


def _training(config: AnyConfig, seed: int) -> str:
    changed = preset_name(config).split()[1:]
    return " ".join([config.model, *changed, f"seed {seed}"])


def _seconds(known: Standing, config: AnyConfig) -> float | None:
    return known.seconds.get((config.model, preset_name(config)))


def _row(step: str, what: str, identity: str, state: str, seconds: float | None = None) -> Row:
    return {"step": step, "what": what, "id": identity, "state": state, "seconds": seconds}

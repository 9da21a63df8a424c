"""The commands that make again what is gone, for messages: each works as it is printed."""

import shlex
from dataclasses import dataclass
from datetime import date

from warehouse.datasets import NAMES
from warehouse.home import Home


@dataclass(frozen=True)
class Trained:
    """Trainings with the same data and settings."""

    dataset: str
    source: str
    verified: bool
    retention: str
    as_of: date | None
    preset: str
    models: list[str]
    seeds: int


@dataclass(frozen=True)
class Given:
    """A file of somebody else's scores that was imported; only its name is known."""

    file: str
    name: str
    dataset: str
    retention: str
    kind: str
    trained_on: str | None
    promise: str | None
    split: str | None = None  # where it held one alone


def import_command(home: Home, of: Given) -> str:
    """What imports a file again."""
    data = ["--dataset", of.dataset, "--retention", of.retention, "--kind", of.kind]
    said = ["--split", of.split] if of.split == "valid" else []  # test is what is taken for one
    said += ["--trained-on", of.trained_on] if of.trained_on else []
    said += ["--promise", of.promise] if of.promise else []
    return _typed("import-scores", of.file, "--name", of.name, *data, *said, home=home)


def prepare_command(home: Home, load_id: str, retention: str, as_of: date | None) -> str:
    """What makes a snapshot's sequences file again."""
    day = ["--as-of", str(as_of)] if as_of else []
    return _typed("prepare", load_id, "--retention", retention, *day, home=home)


def train_command(home: Home, snapshot_id: str, model: str, preset: str, seed: int) -> str:
    """What trains a seed again, the lower seeds too where they are not published."""
    settings = ["--model", model, *_preset(preset), "--seeds", str(seed + 1)]
    return _typed("train", snapshot_id, *settings, home=home)


def run_command(home: Home, of: Trained) -> str:
    """What makes trainings again from the archive on."""
    day = ["--as-of", str(of.as_of)] if of.as_of else []
    # what is not a publisher's archive was given by --source; only its name is known
    given = not of.verified or of.dataset not in NAMES
    source = ["--source", of.source] if given else []
    models = [word for model in of.models for word in ("--model", model)]
    settings = [*_preset(of.preset), "--seeds", str(of.seeds)]
    words = ["--dataset", of.dataset, *source, "--retention", of.retention, *day]
    return _typed("run", *words, *models, *settings, home=home)


def _preset(name: str) -> list[str]:
    """The options for a preset's name in tables, which tells what was changed of it.

    >>> _preset("quick item_width=64")
    ['--preset', 'quick', '--set', 'item_width=64']
    """
    preset, *changed = name.split()
    return ["--preset", preset, *(word for one in changed for word in ("--set", one))]


def _typed(*words: str, home: Home) -> str:
    return f"fpt {shlex.join([*words, '--home', str(home.root)])}"

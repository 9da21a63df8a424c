"""The commands that make again what is gone, for messages: each works as it is printed."""

import shlex
from datetime import date

from warehouse.home import Home


def prepare_command(home: Home, load_id: str, retention: str, as_of: date | None) -> str:
    """What makes a snapshot's sequences file again."""
    day = ["--as-of", str(as_of)] if as_of else []
    return _typed("prepare", load_id, "--retention", retention, *day, home=home)


def train_command(home: Home, snapshot_id: str, model: str, preset: str, seed: int) -> str:
    """What trains a seed again, the lower seeds too where they are not published."""
    settings = ["--model", model, "--preset", preset, "--seeds", str(seed + 1)]
    return _typed("train", snapshot_id, *settings, home=home)


def _typed(*words: str, home: Home) -> str:
    return f"fpt {shlex.join([*words, '--home', str(home.root)])}"

"""The table that a run ends with."""

from collections.abc import Sequence
from typing import Any

from warehouse.database import statements
from warehouse.home import Home
from warehouse.questions import ask


def leaderboard(
    home: Home, snapshot_ids: Sequence[str], presets: Sequence[str]
) -> list[dict[str, Any]]:
    """Test metrics at 10 of what is published, both protocols in a row a model."""
    asked = [list(snapshot_ids), list(presets)]
    return ask(home, statements("questions/metrics"), asked).to_dicts()

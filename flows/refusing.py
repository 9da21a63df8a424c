"""What is refused before a flow begins: it would only fail later."""

from collections.abc import Mapping
from typing import Any

from flows.parameters import experiment
from warehouse.home import Home


def asked_presets(given: Mapping[str, Any]) -> list[str]:
    """What the preset that is asked for is called in tables.

    Raises:
        RefusedError: there is no such data set or setting.
    """
    refuse_unknown(given)
    return experiment(given).preset_names()


def refuse_unknown(given: Mapping[str, Any]) -> None:
    """Refuse a data set that nobody knows or describes.

    Raises:
        RefusedError: so.
    """
    if "dataset" in given:
        from warehouse.known import refuse_unknown

        home = Home.existing(given["home"])
        refuse_unknown(home, given["dataset"], given.get("source"))

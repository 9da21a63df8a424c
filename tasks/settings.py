"""A preset whose settings were changed by hand: what it is, and what tables call it.

Trainings are averaged and compared by their preset's name, so a changed one has a name of its own:
`quick item_width=64`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from fpt_model.config import PRESETS, Config, Setting, resolve
from fpt_model.errors import ModelError
from warehouse.errors import RefusedError

FIXED = ("model", "preset")


def configs(models: Sequence[str], preset: str, settings: Mapping[str, Setting]) -> list[Config]:
    """The settings of each variant under a preset, some of them changed.

    Raises:
        RefusedError: there is no such setting, or a value is not of its kind or out of range.
    """
    known = [one.name for one in fields(Config) if one.name not in FIXED]
    if unknown := sorted(set(settings) - set(known)):
        raise RefusedError(
            f"No such setting: {', '.join(unknown)}", expected=f"one of {', '.join(known)}"
        )
    texts = {name: _text(value) for name, value in settings.items()}
    try:
        return [resolve(model, preset, texts) for model in dict.fromkeys(models)]
    except ModelError as error:
        raise RefusedError(error.found, to_do="Mend --set") from error


def preset_name(config: Config) -> str:
    """The name of its preset, and all that differs from that.

    >>> preset_name(resolve("sasrec", "quick", {"dropout": 0.5, "refit": "true", "epochs": 40}))
    'quick dropout=0.5 refit=true'
    """
    if config.preset not in PRESETS:
        return config.preset
    values, plain = config.to_dict(), resolve(config.model, config.preset).to_dict()
    changed = [f"{name}={_text(value)}" for name, value in values.items() if value != plain[name]]
    return " ".join([config.preset, *changed])


def _text(value: Setting) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

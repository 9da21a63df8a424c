"""A preset whose settings were changed by hand: what it is, and what tables call it.

Trainings are averaged and compared by their preset's name, so a changed one has a name of its own:
`quick item_width=64`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fpt_model.config import PRESETS, Setting, renamed
from fpt_model.errors import ModelError
from fpt_model.simple.settings import SimpleConfig, missing_package
from fpt_model.variants import DISPLAY_NAMES, AnyConfig, resolve_any, settings_of
from warehouse.errors import RefusedError


def configs(models: Sequence[str], preset: str, settings: Mapping[str, Setting]) -> list[AnyConfig]:
    """The settings of each variant under a preset, some of them changed.

    Simple and neural models have settings of their own: each takes those that it has.

    Raises:
        RefusedError: there is no such setting, or a value is not of its kind or out of range; a
            model needs a package that is not installed.
    """
    try:
        settings = renamed(settings, tell=True)
        known = list(dict.fromkeys(name for model in models for name in settings_of(model)))
        if unknown := sorted(set(settings) - set(known)):
            raise RefusedError(
                f"No such setting: {', '.join(unknown)}", expected=f"one of {', '.join(known)}"
            )
        texts = {name: text_of(value) for name, value in settings.items()}
        for model in models:  # before anything is read
            _refuse_without_package(model)
        found = [_config(model, preset, texts) for model in dict.fromkeys(models)]
    except ModelError as error:
        raise RefusedError(error.found, to_do="Mend --set") from error
    return _comparable(found)


def _refuse_without_package(model: str) -> None:
    if package := missing_package(model):
        raise RefusedError(
            f"{DISPLAY_NAMES[model]} needs a package that is not installed",
            expected=package,
            to_do=f"Install it beside ours: `pip install {package}`",
        )


def _comparable(found: Sequence[AnyConfig]) -> list[AnyConfig]:
    """The same, simple models under the name of the neural ones beside them.

    What was changed of neural models alone is no other simple model, and it is to be beaten still.
    """
    neural = [config for config in found if not isinstance(config, SimpleConfig)]
    changed = _changed(neural[0]) if neural else []
    return [
        replace(config, preset=" ".join([config.preset, *changed, *_changed(config)]))
        if changed and isinstance(config, SimpleConfig)
        else config
        for config in found
    ]


def _config(model: str, preset: str, texts: Mapping[str, str]) -> AnyConfig:
    own = settings_of(model)
    return resolve_any(model, preset, {name: texts[name] for name in texts if name in own})


def seeds_of(config: AnyConfig, asked: int) -> range:
    """The seeds to train a variant with; one of a simple model, in which nothing is random."""
    return range(1 if isinstance(config, SimpleConfig) else asked)


def preset_name(config: AnyConfig) -> str:
    """The name of its preset, and all that differs from that.

    >>> preset_name(resolve_any("sasrec", "quick", {"dropout": 0.5, "refit": "true", "epochs": 28}))
    'quick dropout=0.5 refit=true'
    """
    return (
        config.preset
        if config.preset not in PRESETS
        else " ".join([config.preset, *_changed(config)])
    )


def _changed(config: AnyConfig) -> list[str]:
    values, plain = config.to_dict(), resolve_any(config.model, config.preset).to_dict()
    return [f"{name}={text_of(value)}" for name, value in values.items() if value != plain[name]]


def text_of(value: Setting) -> str:
    """As `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)

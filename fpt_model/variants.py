"""All variants, the neural and the simple ones, and the settings of either."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from fpt_model.config import VARIANTS, Config, Setting, from_dict, resolve
from fpt_model.errors import ModelError
from fpt_model.simple.settings import (
    SIMPLE,
    SimpleConfig,
    resolve_simple,
    simple_from_dict,
)

AnyConfig = Config | SimpleConfig
DISPLAY_NAMES = {slug: one.display_name for slug, one in (VARIANTS | SIMPLE).items()}


def resolve_any(
    model: str, preset: str, overrides: Mapping[str, Setting | str] | None = None
) -> AnyConfig:
    """The settings of a variant of either kind; see `resolve`.

    Raises:
        ModelError: unknown model, preset or setting, or a value that is out of range.
    """
    if model not in DISPLAY_NAMES:
        raise ModelError("Unknown model", got=repr(model), expected=" or ".join(DISPLAY_NAMES))
    return (resolve_simple if model in SIMPLE else resolve)(model, preset, overrides)


def any_from_dict(values: Mapping[str, Any]) -> AnyConfig:
    """The settings that `to_dict` of either kind gave.

    Raises:
        ModelError: a setting is missing, unknown or out of range.
    """
    return (simple_from_dict if values.get("model") in SIMPLE else from_dict)(values)


def settings_of(model: str) -> list[str]:
    """Names of the settings that can be given to a variant."""
    if model in SIMPLE:
        return ["search", *SIMPLE[model].settings]
    return [field.name for field in fields(Config) if field.name not in ("model", "preset")]


def config_of(row: Mapping[str, Any]) -> AnyConfig:
    """The settings of a preset and what is changed of it, as a jobs file says them.

    A simple model may be called after the changed neural ones beside it: its preset is the first
    word of that.

    >>> beside = replace(resolve_any("ease", "quick"), preset="quick epochs=2")
    >>> config_of(beside.to_dict()) == beside
    True

    Raises:
        ModelError: see `resolve_any`.
    """
    settings = dict(row)
    model, name = settings.pop("model"), str(settings.pop("preset"))
    if model in SIMPLE:
        return replace(resolve_any(model, name.partition(" ")[0], settings), preset=name)
    return resolve_any(model, name, settings)

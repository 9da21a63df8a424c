"""What runs are called in the UI, by their parameters."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.runtime import flow_run


def pipeline() -> str:
    """A run of the whole pipeline."""
    return named(flow_run.parameters)


def training() -> str:
    """A run that only trains."""
    return f"train on {_of('snapshot')}: {trained(flow_run.parameters)}"


def preparation() -> str:
    """A run that only prepares."""
    return f"prepare {flow_run.parameters['retention']} of {_of('load')}"


def _of(kind: str) -> str:
    identity = flow_run.parameters[f"{kind}_id"]
    return identity[:8] if identity else f"the newest {kind}"


def export() -> str:
    """A run that prepares a folder for another machine."""
    return f"export {named(flow_run.parameters)}"


def backtest() -> str:
    """A run that walks over days."""
    return f"backtest on {len(flow_run.parameters['days'])} days, {named(flow_run.parameters)}"


def named(parameters: Mapping[str, Any]) -> str:
    """Data and trainings in a few words.

    >>> named({"dataset": "ml-1m", "retention": "5-core", "models": ["sasrec", "sas_fpt"],
    ...        "preset": "paper", "seeds": 5})
    'ml-1m 5-core: sasrec, sas_fpt, paper, 5 seeds'
    """
    retentions = parameters.get("retentions") or [parameters["retention"]]
    day = f" as of {parameters['as_of']}" if parameters.get("as_of") else ""
    return f"{parameters['dataset']} {' and '.join(retentions)}{day}: {trained(parameters)}"


def trained(parameters: Mapping[str, Any]) -> str:
    """Models, preset and seeds in a few words.

    >>> trained({"models": ["sas_fpt"], "preset": "quick", "seeds": 1})
    'sas_fpt, quick'
    >>> trained({"models": None, "preset": "paper", "seeds": 5})
    "the paper's tables, paper, 5 seeds"
    >>> trained({"models": ["sasrec"], "preset": "quick", "seeds": 1, "settings": {"heads": 2}})
    'sasrec, quick heads=2'
    """
    models: Sequence[str] = parameters["models"] or ("the paper's tables",)
    seeds = f", {parameters['seeds']} seeds" if parameters["seeds"] > 1 else ""
    settings = parameters.get("settings") or {}
    changed = "".join(f" {name}={value}" for name, value in settings.items())
    return f"{', '.join(models)}, {parameters['preset']}{changed}{seeds}"

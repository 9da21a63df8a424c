"""Options that commands of several files share."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import typer

from flows.parameters import (
    HEADLINE,
    DatasetName,
    Device,
    ModelSlug,
    Preset,
    Retention,
    Suspicion,
    slug_of,
)
from flows.signatures import expanded, parameter
from warehouse.datasets import NAMES
from warehouse.records import Choice

R = TypeVar("R")
Given = Mapping[str, Any]  # parameters of a flow, by their names

Dataset = Annotated[
    DatasetName,
    typer.Option(
        metavar="NAME",
        help=f"Data set: {', '.join(NAMES)}, or your own, which NAME.toml describes. "
        "`synthetic` needs no network.",
    ),
]
Source = Annotated[
    Path | None,
    typer.Option(
        help="Archive on this machine; without it, the archive is fetched. Of your own data: "
        "its file or folder."
    ),
]
KEPT = "Users and items to keep: with five interactions or more (5-core), or all (cold-start)."
Retain = Annotated[Retention, typer.Option(help=KEPT)]


def _repeatable(
    name: str, words: tuple[str, ...], text: str, read: Callable[[str], str] = str
) -> Any:
    """An option that can be given several times; Typer itself takes no list of a Literal."""

    def parse(word: str) -> str:
        if read(word) not in words:
            raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}")
        return read(word)

    return typer.Option(f"--{name}", parser=parse, metavar=f"[{'|'.join(words)}]", help=text)


Retains = Annotated[list[Any], _repeatable("retention", get_args(Retention), f"{KEPT} Repeatable.")]
_SLUGS = get_args(ModelSlug)
_NAMED = "Model, by either name (sas_fpt or SAS-FPT); repeatable."
Models = Annotated[list[Any], _repeatable("model", _SLUGS, _NAMED, slug_of)]
TableModels = Annotated[
    list[Any] | None,
    _repeatable("model", _SLUGS, f"{_NAMED} Default: those of the paper's tables.", slug_of),
]


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE, such as item_width=64")
    return name.strip(), value.strip()


Changed = Annotated[
    list[Any],
    typer.Option(
        "--set",
        parser=_setting,
        metavar="NAME=VALUE",
        help="Change one setting of the preset, such as item_width=64; repeatable.",
    ),
]
PresetName = Annotated[Preset, typer.Option(help="Named set of training settings.")]
SeedCount = Annotated[
    int,
    typer.Option(
        "--seeds", min=1, max=1000, help="Train each model N times, with seeds 0 to N - 1."
    ),
]
DeviceName = Annotated[
    Device, typer.Option(help="Where to train; `auto` takes a GPU if there is one.")
]
GpuCount = Annotated[
    int | None, typer.Option("--gpus", min=1, help="How many GPUs to train on. Default: all.")
]
PoolName = Annotated[
    str | None,
    typer.Option("--pool", help="Have the workers of this work pool train, on any machines."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="FPT_STORE",
        help="What a pool's machines share: a folder, s3://, gs:// or az://.",
    ),
]
Together = Annotated[
    bool,
    typer.Option(
        "--together",
        help="All GPUs on each training, one training after the other: for very large batches.",
    ),
]
MaxRejects = Annotated[int, typer.Option(min=0, help="How many lines or rows may be unreadable.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Use only ratings from before this day (UTC)."),
]
HomeDir = Annotated[
    Path, typer.Option("--home", envvar="FPT_HOME", help="Folder of the pipeline's files.")
]
Accept = Annotated[
    list[Any],
    _repeatable(
        "accept",
        get_args(Suspicion),
        "A warning of the audits that you have looked at and accept; repeatable.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, errors too.")]
Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait for another run that does the same work. Default at a terminal: yes.",
        show_default=False,
    ),
]
DEFAULT_HOME = Path(".fpt")


def day(moment: datetime | None) -> date | None:
    """The day of an option; Typer reads moments only."""
    return moment.date() if moment else None


def _chosen(name: str, text: str) -> Any:
    return Annotated[str, typer.Option(f"--{name}", help=text)]


_OF_AN_EXPERIMENT: Mapping[str, tuple[Any, Any]] = {
    "dataset": (Dataset, "synthetic"),
    "source": (Source, None),
    "retention": (Retain, "5-core"),
    "retentions": (Retains, ["5-core", "cold-start"]),
    "models": (Models, list(HEADLINE)),
    "preset": (PresetName, "quick"),
    "settings": (Changed, []),
    "seeds": (SeedCount, 1),
    "device": (DeviceName, "auto"),
    "gpus": (GpuCount, None),
    "together": (Together, False),
    "pool": (PoolName, None),
    "store": (StoreUrl, None),
    "max_rejects": (MaxRejects, 0),
    "as_of": (AsOf, None),
    "accept": (Accept, []),
    "home": (HomeDir, DEFAULT_HOME),
}
WHERE = ("device", "gpus", "together", "pool", "store")  # what says where trainings take place
ONE = ("retentions",)  # without these, it is of one retention
TABLES: Given = {"models": (TableModels, None), "seeds": (SeedCount, 5)}  # as the paper has them


_CHOICE: Mapping[str, tuple[Any, Any]] = {
    "dataset": (
        _chosen("dataset", "Data set. Default: the only one, or the one you named last."),
        "",
    ),
    "retention": (_chosen("retention", "5-core or cold-start."), ""),
    "model": (_chosen("model", "Such as SAS-FPT. Default: the best on validation."), ""),
    "run_id": (
        _chosen("run", "Id of a training, or how it begins. Default: the best on validation."),
        "",
    ),
}


def choosing(function: Callable[..., R]) -> Callable[..., R]:
    """A command's function of `choice` becomes one of the options that say which training."""
    listed = [parameter(name, *one) for name, one in _CHOICE.items()]
    return expanded(function, "choice", listed, lambda given: Choice(**given))


def asking(
    *only: str, without: Sequence[str] = ("retention",), **others: tuple[Any, Any]
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """A command's function of `given` becomes one of an experiment's options, in their usual order.

    Args:
        only: the options; all of them where none is named.
        without: of all, those that this command has no use for.
        others: options of this command's own kind or default.
    """
    options = {**_OF_AN_EXPERIMENT, **others}
    names = only or [name for name in options if name not in without]
    listed = [parameter(name, *options[name]) for name in options if name in names]

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        return expanded(function, "given", listed, _given)

    return decorate


def _given(options: dict[str, Any]) -> Given:
    """What a flow takes, from what Typer reads."""
    read: Mapping[str, Callable[[Any], Any]] = {"as_of": day, "settings": dict}
    return {name: read.get(name, lambda same: same)(value) for name, value in options.items()}

"""Options that commands of several files share."""

from collections.abc import Callable, Mapping
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

R = TypeVar("R")
Given = Mapping[str, Any]  # parameters of a flow, by their names

Dataset = Annotated[
    DatasetName,
    typer.Option(
        metavar="NAME",
        help=f"Data set: {', '.join(NAMES)}, or your own, that NAME.toml describes. "
        "`synthetic` needs no network.",
    ),
]
Source = Annotated[
    Path | None,
    typer.Option(
        help="Archive on this machine, instead of fetching it; of your own data its file or folder."
    ),
]
Retain = Annotated[Retention, typer.Option(help="Which users and items stay.")]


def _repeatable(
    name: str, words: tuple[str, ...], text: str, read: Callable[[str], str] = str
) -> Any:
    """An option that can be given several times; Typer itself takes no list of a Literal."""

    def parse(word: str) -> str:
        if read(word) not in words:
            raise typer.BadParameter(f"{word!r} is not one of {', '.join(words)}")
        return read(word)

    return typer.Option(f"--{name}", parser=parse, metavar=f"[{'|'.join(words)}]", help=text)


Retains = Annotated[
    list[Any], _repeatable("retention", get_args(Retention), "Repeatable: one table each.")
]
_SLUGS = get_args(ModelSlug)
_NAMED = "Variant, by either name (sas_fpt, SAS-FPT); repeatable."
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
        "--set", parser=_setting, metavar="NAME=VALUE", help="Change the preset; repeatable."
    ),
]
PresetName = Annotated[Preset, typer.Option(help="Named settings of a training.")]
SeedCount = Annotated[int, typer.Option("--seeds", min=1, max=1000, help="Seeds 0 to N - 1.")]
DeviceName = Annotated[Device, typer.Option(help="`auto` takes a GPU where there is one.")]
GpuCount = Annotated[
    int | None,
    typer.Option("--gpus", min=1, help="How many GPUs train at once. Default: all."),
]
MaxRejects = Annotated[int, typer.Option(min=0, help="Lines or rows that may be unreadable.")]
AsOf = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Only ratings before this day (UTC) are known."),
]
HomeDir = Annotated[
    Path, typer.Option("--home", envvar="FPT_HOME", help="Folder of the pipeline's files.")
]
Accept = Annotated[
    list[Any],
    _repeatable(
        "accept", get_args(Suspicion), "What audits may suspect, as it is right; repeatable."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts; errors too.")]
Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait for another run that is at the same work. Default: at a terminal.",
        show_default=False,
    ),
]
DEFAULT_HOME = Path(".fpt")


def day(moment: datetime | None) -> date | None:
    """The day of an option; Typer reads moments only."""
    return moment.date() if moment else None


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
    "max_rejects": (MaxRejects, 0),
    "as_of": (AsOf, None),
    "accept": (Accept, []),
    "home": (HomeDir, DEFAULT_HOME),
}
TABLES: Given = {"models": (TableModels, None), "seeds": (SeedCount, 5)}  # as the paper has them


def asking(
    *names: str, **others: tuple[Any, Any]
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """A command's function of `given` becomes one of these options, in their usual order.

    Args:
        names: the options.
        others: options of this command's own kind or default.
    """
    options = {**_OF_AN_EXPERIMENT, **others}
    asked = [name for name in options if name in names]
    listed = [parameter(name, *options[name]) for name in asked]

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        return expanded(function, "given", listed, _given)

    return decorate


def _given(options: dict[str, Any]) -> Given:
    """What a flow takes, from what Typer reads."""
    read: Mapping[str, Callable[[Any], Any]] = {"as_of": day, "settings": dict}
    return {name: read.get(name, lambda same: same)(value) for name, value in options.items()}

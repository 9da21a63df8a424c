"""The words that flows and the command line take; a wrong one is refused before a run starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import BeforeValidator, Field

from flows.signatures import Parameter, expanded, parameter
from fpt_model.config import Setting
from fpt_model.variants import DISPLAY_NAMES, AnyConfig
from tasks.settings import configs, preset_name, seeds_of
from warehouse.errors import RefusedError

R = TypeVar("R")

DatasetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Retention = Literal["5-core", "cold-start"]
ModelSlug = Literal[
    "sasrec", "sse_pt", "tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt", "hstu",
    "recent_popularity", "bpr", "als", "item_knn", "ease", "markov_chain", "ridge",
]  # fmt: skip
Preset = Literal[
    "quick", "paper", "matched", "anywhere", "compact", "best", "best_taught", "best_request"
]
Device = Literal["auto", "cpu", "cuda"]
Suspicion = Literal["too-good", "below-chance", "few-candidates"]  # expectations/suspicions.py
Split = Literal["test", "valid"]
Protocol = Literal["full", "uniform_100"]
Kind = Literal["all", "candidates", "top"]  # warehouse/importing/kinds.py
TrainedOn = Literal["train", "train+valid"]
Settings = Mapping[str, Setting]
Seeds = Annotated[int, Field(ge=1, le=1000)]
Gpus = Annotated[int, Field(ge=1)]
Rejects = Annotated[int, Field(ge=0)]


def slug_of(model: Any) -> Any:
    """A variant's slug from any of its names; what is none stays as it is, to be refused.

    >>> slug_of("SAS-FPT"), slug_of("tisasrec++"), slug_of("Sas_Fpt"), slug_of("gpt")
    ('sas_fpt', 'tisasrec_plus_plus', 'sas_fpt', 'gpt')
    >>> slug_of("item-kNN"), slug_of("markov-chain")
    ('item_knn', 'markov_chain')
    """
    named = {slug: slug for slug in DISPLAY_NAMES}
    named |= {slug.replace("_", "-"): slug for slug in DISPLAY_NAMES}
    named |= {name.lower(): slug for slug, name in DISPLAY_NAMES.items()}
    return named.get(model.lower(), model) if isinstance(model, str) else model


NAMES = (*DISPLAY_NAMES, *DISPLAY_NAMES.values(), "popularity")  # of all that is ours
Model = Annotated[ModelSlug, BeforeValidator(slug_of)]
HEADLINE: tuple[Model, ...] = ("ridge", "tisasrec", "sas_fpt")  # the first, to be beaten
LADDER: tuple[Model, ...] = ("tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt")
# The paper's tables: all rungs on 5-core data, the first and the last one on cold-start data.
PAPER: Mapping[Retention, tuple[Model, ...]] = {
    "5-core": LADDER,
    "cold-start": ("tisasrec", "sas_fpt"),
}


@dataclass(frozen=True)
class Experiment:
    """Everything a run of the pipeline is asked for.

    Attributes:
        dataset: name of the data set, of own data that of its description.
        source: archive on this machine, fetched (or generated) when missing; or the file or folder
            of own data, whose newest load is taken when missing.
        retentions: which users and items stay; one snapshot each.
        models: variants to train on each snapshot; None for those that the paper's table has.
        preset: named settings.
        settings: settings of the preset that are changed, by their names.
        pool: Prefect's work pool whose workers train; this machine does without one.
        store: URL of the store that a pool's machines share; `FPT_STORE` without it.
        seeds: seeds 0 to n - 1 of each variant.
        device: `auto` takes a GPU where there is one.
        gpus: how many GPUs train at once; all of this machine without it.
        together: each training takes all of those GPUs, instead of one.
        max_rejects: how many lines may be unreadable before the run stops.
        home: folder of the pipeline.
        as_of: only ratings before this day (UTC) are known; all of them without one.
        accept: what audits may suspect of the trainings, as it is right.
    """

    dataset: DatasetName = "synthetic"
    source: Path | None = None
    retentions: Sequence[Retention] = ("5-core",)
    models: Sequence[Model] | None = HEADLINE
    preset: Preset = "quick"
    seeds: Seeds = 1
    device: Device = "auto"
    max_rejects: Rejects = 0
    home: Path | None = None
    as_of: date | None = None
    accept: Sequence[Suspicion] = ()
    gpus: Gpus | None = None
    together: bool = False
    settings: Settings = field(default_factory=dict)
    pool: str | None = None
    store: str | None = None

    def models_on(self, retention: Retention) -> Sequence[Model]:
        """Variants to train where these users and items stay."""
        return PAPER[retention] if self.models is None else self.models

    def trainings_on(self, retention: Retention) -> list[tuple[AnyConfig, int]]:
        """Settings and seed of each training where these users and items stay.

        Raises:
            RefusedError: there is no such setting, or it can't be so.
        """
        chosen = self._configs(self.models_on(retention))
        return [(config, seed) for config in chosen for seed in seeds_of(config, self.seeds)]

    def preset_names(self) -> list[str]:
        """What the preset is called in tables; with changed settings, which a variant may not
        have, it may have several names.

        Raises:
            RefusedError: there is no such setting, or it can't be so.
        """
        models = [model for kind in self.retentions for model in self.models_on(kind)]
        return list(dict.fromkeys(map(preset_name, self._configs(models))))

    def _configs(self, models: Sequence[Model]) -> list[AnyConfig]:
        chosen = configs(models, self.preset, self.settings)
        if self.together and any(getattr(config, "teachers", 0) for config in chosen):
            raise RefusedError(
                "Trainings that have teachers take one GPU each",
                got=f"--together, and preset {self.preset}",
                to_do="Leave out --together: they are trained side by side",
            )
        return chosen


def asked(
    *, single: bool = False, without: Sequence[str] = (), **defaults: Any
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """A flow's function of an `Experiment` becomes one of its parameters, as Prefect shows them.

    Args:
        single: `retention` in place of `retentions`.
        without: parameters that this flow has no use for.
        defaults: defaults of this flow, where they are others.
    """
    listed = [one for one in _listed(single) if one.name not in without]
    listed = [one.replace(default=defaults.get(one.name, one.default)) for one in listed]

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        return expanded(function, "asked", listed, experiment)

    return decorate


def experiment(given: Mapping[str, Any]) -> Experiment:
    """What is asked for, from a flow's parameters."""
    values = dict(given)
    if "retention" in values:
        values["retentions"] = (values.pop("retention"),)
    return Experiment(**values)


def _listed(single: bool) -> list[Parameter]:
    kinds = get_type_hints(Experiment, include_extras=True)
    found = []
    for one in fields(Experiment):
        default = {} if one.default is MISSING else one.default
        if single and one.name == "retentions":
            found.append(parameter("retention", Retention, "5-core"))
        else:
            found.append(parameter(one.name, kinds[one.name], default))
    return found

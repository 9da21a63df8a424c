"""The words that flows and the command line take; a wrong one is refused before a run starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

DatasetName = Literal[
    "synthetic", "ml-latest-small", "ml-100k", "ml-1m", "ml-20m", "ml-25m", "ml-32m"
]
Retention = Literal["5-core", "cold-start"]
Model = Literal["sasrec", "sse_pt", "tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt"]
Preset = Literal["quick", "paper", "matched", "anywhere", "best"]
Device = Literal["auto", "cpu", "cuda"]
Suspicion = Literal["too-good", "below-chance", "few-candidates"]  # expectations/suspicions.py
Seeds = Annotated[int, Field(ge=1, le=1000)]
Rejects = Annotated[int, Field(ge=0)]

HEADLINE: tuple[Model, ...] = ("tisasrec", "sas_fpt")
LADDER: tuple[Model, ...] = ("tisasrec", "tisasrec_plus", "tisasrec_plus_plus", "sas_fpt")
# The paper's tables: all rungs on 5-core data, the first and the last one on cold-start data.
PAPER: Mapping[Retention, tuple[Model, ...]] = {"5-core": LADDER, "cold-start": HEADLINE}


@dataclass(frozen=True)
class Experiment:
    """Everything a run of the pipeline is asked for.

    Attributes:
        dataset: name of the data set.
        source: archive on this machine; fetched (or generated) when missing.
        retentions: which users and items stay; one snapshot each.
        models: variants to train on each snapshot; None for those that the paper's table has.
        preset: named settings.
        seeds: seeds 0 to n - 1 of each variant.
        device: `auto` takes a GPU where there is one.
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

    def models_on(self, retention: Retention) -> Sequence[Model]:
        """Variants to train where these users and items stay."""
        return PAPER[retention] if self.models is None else self.models

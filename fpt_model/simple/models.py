"""The simple models by their slugs: how each is fitted and scores, and its settings chosen."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fpt_model.config import Setting
from fpt_model.data.sequences import Sequences
from fpt_model.evaluation.metrics import ndcg, recall
from fpt_model.evaluation.ranks import Ranks, Scorer, rank
from fpt_model.simple import als, bpr, ease, item_knn, markov_chain, recent_popularity, ridge
from fpt_model.simple.past import Past, Tensors, past_of
from fpt_model.simple.settings import SimpleConfig, choices


class SimpleModel(Protocol):
    """What a file of this package has."""

    @property
    def FITTED_BY(self) -> tuple[str, ...]:  # noqa: N802 - of a module
        """Settings that `fit` reads; the others change scores alone."""

    def fit(self, past: Past, config: SimpleConfig, /) -> Tensors:
        """All that it learns."""

    def scorer(self, tensors: Tensors, config: SimpleConfig, /) -> Scorer:
        """How it scores with what was learnt."""

    def length(self, config: SimpleConfig, /) -> int | None:
        """Of the window that it looks at; None for the whole history."""


MODELS: dict[str, SimpleModel] = {
    "recent_popularity": recent_popularity,
    "bpr": bpr,
    "als": als,
    "item_knn": item_knn,
    "ease": ease,
    "markov_chain": markov_chain,
    "ridge": ridge,
}


@dataclass(frozen=True)
class Fitted:
    """A fitted model.

    Attributes:
        config: with the settings that were chosen.
        tensors: what was learnt.
    """

    config: SimpleConfig
    tensors: Tensors

    def scorer(self) -> Scorer:
        """How it scores."""
        return MODELS[self.config.model].scorer(self.tensors, self.config)

    @property
    def length(self) -> int | None:
        """Of the window; None for the whole history."""
        return MODELS[self.config.model].length(self.config)

    def ranked(self, sequences: Sequences) -> Ranks:
        """Ranks of the validation items, which nothing was fitted on."""
        length = self.length or int(sequences.lengths.max())
        return rank(self.scorer(), sequences, "valid", length)


@dataclass(frozen=True)
class Tried:
    """One choice of settings, and how good it is on validation.

    Attributes:
        fitted: the model.
        record: as the file of epochs has it, a line for each choice; `epoch` is its number.
        among_all: NDCG@10 among all items, by which it is chosen.
    """

    fitted: Fitted
    record: dict[str, Any]
    among_all: float


def tries(sequences: Sequences, config: SimpleConfig) -> Iterator[Tried]:
    """A fitted model for each choice of settings.

    Args:
        sequences: on a CPU.
        config: what is asked for.

    Raises:
        ModelError: its matrices do not fit the memory; nobody has held-out items.
    """
    past, model = past_of(sequences), MODELS[config.model]
    known: tuple[object, Tensors] = (None, {})  # the last fit, which the next choice may share
    for number, chosen in enumerate(choices(config), start=1):
        began = time.monotonic()
        one = replace(config, **chosen)  # type: ignore[arg-type]
        settings = [getattr(one, name) for name in model.FITTED_BY]
        if known[0] != settings:
            known = (None, {})  # two may be too much for the memory
            known = (settings, model.fit(past, one))
        fitted = Fitted(one, known[1])
        yield _tried(fitted, fitted.ranked(sequences), number, chosen, began)


def _tried(
    fitted: Fitted, ranks: Ranks, number: int, chosen: dict[str, Setting], began: float
) -> Tried:
    sampled, among_all = (ranks.ranks[protocol] for protocol in ("uniform_100", "full"))
    found = ndcg(among_all, 10)
    record = {
        "epoch": number,
        "train_loss": None,
        "valid_recall_10": recall(sampled, 10),
        "valid_ndcg_10": ndcg(sampled, 10),
        "seconds": time.monotonic() - began,
        "settings": chosen,
        "valid_full_ndcg_10": found,
    }
    return Tried(fitted, record, found)

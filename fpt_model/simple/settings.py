"""Every setting of a simple model, its default and its grid: values only."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product

from fpt_model.config import PRESETS, Setting, known, read_setting
from fpt_model.errors import ModelError


@dataclass(frozen=True)
class SimpleConfig:
    """All that determines a simple model besides its data and code.

    A model has some of these settings; the others are 0 and not told. The defaults were chosen on
    validation of MovieLens-1M, by NDCG@10 among all items.

    Attributes:
        model: slug of the variant.
        preset: name under which it is compared with other models; of no other effect than that
            `quick` does not search.
        search: settings that have their defaults are chosen from a grid by NDCG@10 on validation,
            among all items.
        latest: each user's training interactions that count, the latest n.
        neighbours: by how many items an item may be foretold, the k most similar; 0 for all, which
            are 1,000 where there are more than 20,000 items.
        half_life: h, an item's weight is halved by so many later ones; 0 for equal weights.
        penalty: lambda, added to the diagonal of the matrix that is inverted.
        lags: L, how many of the latest items foretell the next one.
        prior: alpha, how many transitions the items' popularity counts as.
        decay: d, the weight of each lag is the one before times this.
        factors: F, numbers in a vector.
        iterations: passes over the training part.
        regularisation: what the squares of the vectors cost.
        alpha: a, confidence in what somebody had, beside 1 in what they had not.
        learning_rate: of a step down the gradient.
    """

    model: str
    preset: str
    search: bool = False
    latest: int = 0
    neighbours: int = 0
    half_life: float = 0.0
    penalty: float = 0.0
    lags: int = 0
    prior: float = 0.0
    decay: float = 0.0
    factors: int = 0
    iterations: int = 0
    regularisation: float = 0.0
    alpha: float = 0.0
    learning_rate: float = 0.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if name in SIMPLE[self.model].settings and not low <= value <= high:
                raise ModelError(
                    f"Setting {name} is out of range", got=value, expected=f"{low} to {high}"
                )

    def to_dict(self) -> dict[str, Setting]:
        """All settings that the model has, as JSON can hold them."""
        return {name: getattr(self, name) for name in (*_COMMON, *SIMPLE[self.model].settings)}


@dataclass(frozen=True)
class SimpleVariant:
    """A simple model.

    Attributes:
        display_name: its name in tables.
        settings: what can be set, with its default.
        grid: what a search tries; settings that it does not name stay.
        package: what must be installed besides to fit it, empty for nothing.
    """

    display_name: str
    settings: Mapping[str, Setting]
    grid: Mapping[str, tuple[Setting, ...]]
    package: str = ""


_COMMON = ("model", "preset", "search")
_RANGES: dict[str, tuple[float, float]] = {
    "latest": (1, 1_000_000),
    "neighbours": (0, 1_000_000),
    "half_life": (0, 1_000_000),
    "penalty": (1e-9, 1e12),
    "lags": (1, 200),
    "prior": (1e-9, 1e12),
    "decay": (0, 1),
    "factors": (1, 4096),
    "iterations": (1, 100_000),
    "regularisation": (0, 1e12),
    "alpha": (1e-9, 1e12),
    "learning_rate": (1e-9, 1e3),
}

SIMPLE: dict[str, SimpleVariant] = {
    "recent_popularity": SimpleVariant(
        "Recent popularity", {"latest": 5}, {"latest": (1, 2, 5, 10, 20)}
    ),
    "bpr": SimpleVariant(
        "BPR",
        {"factors": 64, "iterations": 50, "regularisation": 0.01, "learning_rate": 0.02},
        {"regularisation": (0.001, 0.01), "learning_rate": (0.02, 0.05)},
        package="implicit",
    ),
    "als": SimpleVariant(
        "ALS",
        {"factors": 128, "iterations": 12, "regularisation": 10.0, "alpha": 1.0},
        {"factors": (64, 128), "regularisation": (1.0, 10.0, 50.0)},
        package="implicit",
    ),
    "item_knn": SimpleVariant(
        "item-kNN",
        {"neighbours": 0, "half_life": 1.0},
        {"neighbours": (100, 0), "half_life": (1.0, 2.0, 5.0)},
    ),
    "ease": SimpleVariant(
        "EASE^R",
        {"penalty": 500.0, "half_life": 5.0},
        {"penalty": (100.0, 200.0, 500.0, 1000.0), "half_life": (2.0, 5.0, 10.0, 20.0)},
    ),
    "markov_chain": SimpleVariant(
        "Markov chain",
        {"lags": 20, "prior": 50.0, "decay": 0.8},
        {"lags": (10, 20), "prior": (10.0, 50.0), "decay": (0.8, 0.9)},
    ),
    "ridge": SimpleVariant(
        "Ridge",
        {"half_life": 5.0, "penalty": 200.0},
        {"half_life": (2.0, 5.0, 10.0), "penalty": (200.0, 1000.0)},
    ),
}


def resolve_simple(
    model: str, preset: str, overrides: Mapping[str, Setting | str] | None = None
) -> SimpleConfig:
    """The settings of a simple model under a preset, some of them overridden.

    Raises:
        ModelError: unknown model, preset or setting, or a value that is out of range.
    """
    variant = known("model", model, SIMPLE)
    known("preset", preset, PRESETS)
    values: dict[str, Setting] = {"search": preset != "quick", **variant.settings}
    for name, value in (overrides or {}).items():
        values[name] = read_setting(name, value, type(known("setting", name, values)))
    return SimpleConfig(model, preset, **values)  # type: ignore[arg-type]


def simple_from_dict(values: Mapping[str, Setting]) -> SimpleConfig:
    """The settings that `SimpleConfig.to_dict` gave.

    Raises:
        ModelError: a setting is missing, unknown or out of range.
    """
    names = {*_COMMON, *SIMPLE[str(values["model"])].settings}
    if set(values) != names:
        raise ModelError(
            "Settings of another version",
            got=sorted(set(values) - names) or "none that is unknown",
            expected=sorted(names - set(values)) or "none that is missing",
        )
    return SimpleConfig(**values)  # type: ignore[arg-type]


def missing_package(model: str) -> str:
    """What a model needs to be fitted and is not installed; empty for nothing."""
    package = SIMPLE[model].package if model in SIMPLE else ""
    return package if package and find_spec(package) is None else ""


def choices(config: SimpleConfig) -> Iterator[dict[str, Setting]]:
    """The settings to try, which a search goes through in this order; without one, its own.

    A setting that was given by hand, so that it is not the default, stays as it is.
    """
    variant, own = SIMPLE[config.model], config.to_dict()
    grid = {
        name: variant.grid[name]
        if name in variant.grid and config.search and own[name] == default
        else (own[name],)
        for name, default in variant.settings.items()
    }
    for values in product(*grid.values()):
        yield dict(zip(grid, values, strict=True))

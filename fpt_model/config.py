"""Every setting of a training, the variants and the presets: values only."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any, Literal, TypeVar

from fpt_model.errors import ModelError
from fpt_model.features import widths

Setting = bool | int | float | str
T = TypeVar("T")


@dataclass(frozen=True)
class Config:
    """All that determines a training besides its data, seed and code.

    Defaults are the paper's (table 1); where it is silent, those of TiSASRec (WSDM 2020, section
    4.1) and its authors' code. A width of 0 leaves a part out.

    Attributes:
        model: slug of the variant.
        preset: name of the settings it started from.
        intervals: relative time on keys and values (TiSASRec, section 3.4); with `block` = `hstu`
            as a bias of attention.
        time_span: intervals are clipped here, in units of the user's shortest gap, or of `clock`.
        overflow_rows: rows of the interval table for what lies past the clip (TiSASRec+).
        item_width: width of the item embedding.
        week_width: width of the week-of-year embedding (TiSASRec++).
        user_width: width of the user embedding (SAS-FPT, SSE-PT).
        rating_width: width of the embedding of the rating that an item was given, in half stars;
            known when the next item is asked for.
        genre_width: width of the embeddings of genres; an item's are summed, and an item without
            genres gets zero.
        gap_width: width of the embedding of the time since the interaction before; see
            `fpt_model/data/tempo.py` for this and the next.
        depth_width: width of the embedding of how many interactions there are by then.
        block: what attends: `attention`, the papers' softmax and pointwise layers, or `hstu`, SiLU
            without softmax and a gate (Zhai et al. 2024); see `fpt_model/model/hstu.py`.
        blocks: how many of them.
        heads: attention heads; they share the width.
        max_length: T, the latest interactions that are looked at.
        dropout: rate, on inputs, tables, attention weights and within the pointwise layers.
        sse_user: rate at which a user's id is replaced by another one (stochastic shared
            embeddings, SSE-PT).
        sse_item: rate at which an input item is replaced by another one, likewise.
        group_weight: weight of the group loss; 0 leaves it out (SAS-FPT, section 3.3).
        group_pairs: random user pairs a step.
        groups: number of clusters of users.
        group_margin: cosine below which users of different groups cost nothing.
        group_refresh: epochs between clusterings; the loss starts with the first.
        time_reference: from when a window is looked back at, for intervals and weeks: `last`, its
            latest interaction, or `query`, the time at which the next item is asked for, which a
            running system knows (HSTU's relative time, Zhai et al. 2024); see
            `Sequences.with_time_reference`.
        clock: what intervals are differences of: `seconds`, counted in the user's shortest gap
            (TiSASRec), `places` in the history, or `steps`, which are longer the longer they took;
            see `fpt_model/data/clock.py`.
        ema_decay: share of the weights' moving average that an epoch keeps; validated, chosen and
            ranked are the averaged weights. 0 leaves averaging out.
        mask: which padding attention leaves out: `keys`, so that it is never looked at, or
            `queries`, as the authors' code has it; see `Encoder`.
        windows: `latest`, every user's last T + 1 training interactions (the papers' sampler), or
            `random`, any T + 1 in a row, drawn anew each epoch.
        teachers: so many trainings of the same settings, with seeds of their own, come first, and
            teach this one (distillation of an ensemble); see `fpt_model/training/teaching.py`.
        teacher_share: rate at which a place learns an item that they draw in place of the one that
            came next, anew each epoch.
        loss: `bce` with one sampled negative a position; `gbce` with several, whose positive term
            is calibrated (gSASRec, Petrov and Macdonald 2023); `softmax` over all items; or
            `sampled_softmax`, for millions of items: items that a step draws stand for all others
            (logQ correction). Then a step looks up some rows of the item table; only these are
            moved by Adam, and only their norm is penalised.
        negatives: how many items a step of `sampled_softmax` draws, for all its positions: half of
            them uniformly, half as often as they are trained on. How many each position of `gbce`
            draws (256 in the paper).
        calibration: t of `gbce`, from 0, plain binary cross-entropy, whose probabilities sampling
            makes too high, to 1, which undoes that; the paper's .75 is easier to train.
        smoothing: share of a softmax's target that is divided evenly among all items it is over
            (label smoothing, Szegedy et al. 2016); with `exclude_seen` not among those seen before.
        exclude_seen: whether a softmax leaves out the items that the user has seen before. Ranking
            does, so nothing is gained by learning that they do not come again. The negative of
            `bce`, and those of `gbce`, are new to the user in any case.
        batch_size: users a step.
        learning_rate: of Adam, at its largest.
        schedule: how it falls from there to the end of `epochs`: not (`constant`), along half a
            `cosine` (Loshchilov and Hutter 2017, without restarts), or on a line (`linear`); see
            `fpt_model/engines/schedule.py`.
        warmup: epochs, also parts of one, over which it rises from nothing, before it falls.
        beta1: of Adam.
        beta2: of Adam.
        l2: weight of the norm (not squared) of item, position and interval tables.
        weight_decay: share of each weight, times the learning rate, that a step takes away besides
            Adam's change (AdamW, Loshchilov and Hutter 2019): of matrices and tables, not of biases
            and LayerNorms.
        epochs: at most this many; an epoch shows one window of every user.
        validate_every: epochs between validations.
        patience: validations without a better NDCG@10 after which training ends.
        refit: train anew, on all but the test item, for as many epochs as validation chose, each
            with the learning rates that it had then; those weights answer from there on.
    """

    model: str
    preset: str
    intervals: bool = False
    time_span: int = 256
    overflow_rows: int = 0
    item_width: int = 50
    week_width: int = 0
    user_width: int = 0
    rating_width: int = 0
    genre_width: int = 0
    gap_width: int = 0
    depth_width: int = 0
    block: Literal["attention", "hstu"] = "attention"
    blocks: int = 2
    heads: int = 1
    max_length: int = 50
    dropout: float = 0.2
    sse_user: float = 0.0
    sse_item: float = 0.0
    group_weight: float = 0.0
    group_pairs: int = 100
    groups: int = 4
    group_margin: float = 0.0
    group_refresh: int = 5
    time_reference: Literal["last", "query"] = "last"
    clock: Literal["seconds", "places", "steps"] = "seconds"
    ema_decay: float = 0.0
    mask: Literal["keys", "queries"] = "keys"
    windows: Literal["latest", "random"] = "latest"
    teachers: int = 0
    teacher_share: float = 0.0
    loss: Literal["bce", "gbce", "softmax", "sampled_softmax"] = "bce"
    negatives: int = 1024
    calibration: float = 0.75
    smoothing: float = 0.0
    exclude_seen: bool = False
    batch_size: int = 128
    learning_rate: float = 1e-3
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    warmup: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.98
    l2: float = 5e-5
    weight_decay: float = 0.0
    epochs: int = 200
    validate_every: int = 5
    patience: int = 10
    refit: bool = False

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ModelError(
                    f"Setting {name} is out of range", got=value, expected=f"{low} to {high}"
                )
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise ModelError(
                    f"Unknown {name}", got=repr(getattr(self, name)), expected=" or ".join(words)
                )
        if self.loss == "sampled_softmax" and self.beta1**2 >= self.beta2:
            raise ModelError(
                "With sampled_softmax, Adam's steps must shrink while a row is not looked up",
                got=f"beta1 {self.beta1}, beta2 {self.beta2}",
                expected="the square of beta1 below beta2",
            )
        if self.teachers and self.loss == "sampled_softmax":
            raise ModelError(
                "Teachers draw from the scores of all items",
                got="loss sampled_softmax",
                expected="loss bce, gbce or softmax",
            )
        if self.warmup >= self.epochs:
            raise ModelError(
                "The learning rate would rise to the end",
                got=f"warmup {self.warmup:g}, epochs {self.epochs}",
                expected="warmup below epochs",
            )
        if self.learning_rate * self.weight_decay >= 1:
            raise ModelError(
                "A step would take away all of a weight",
                got=f"learning_rate {self.learning_rate:g}, weight_decay {self.weight_decay:g}",
                expected="a product below 1",
            )
        if self.width % self.heads:
            raise ModelError("Width is not divisible", got=self.width, expected=f"{self.heads} n")

    @property
    def width(self) -> int:
        """D, the width of what goes through the blocks."""
        return sum(width for _, width in widths(self))

    @property
    def on_pairs(self) -> bool:
        """Whether keys and values of a pair get vectors of its interval and position."""
        return self.intervals and self.block == "attention"

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate changes from step to step."""
        return self.schedule != "constant" or self.warmup > 0

    @property
    def grouped(self) -> bool:
        """Whether the loss knows of groups, and users have vectors for it."""
        return bool(self.group_weight and self.user_width)

    def to_dict(self) -> dict[str, Setting]:
        """All settings, as JSON can hold them."""
        return asdict(self)


_WORDS = {
    "block": ("attention", "hstu"),
    "time_reference": ("last", "query"),
    "clock": ("seconds", "places", "steps"),
    "mask": ("keys", "queries"),
    "windows": ("latest", "random"),
    "loss": ("bce", "gbce", "softmax", "sampled_softmax"),
    "schedule": ("constant", "cosine", "linear"),
}
# Names of earlier versions, the names of now, and values that have another name too. Whoever reads
# settings takes either; what people write is answered by a note, what a file of before says is not.
RENAMED: Mapping[str, tuple[str, Mapping[str, Setting]]] = {
    "user_dropout": ("sse_user", {}),
    "item_dropout": ("sse_item", {}),
    "moment": ("time_reference", {"request": "query"}),
    "average": ("ema_decay", {}),
    "rivals": ("exclude_seen", {"all": False, "unseen": True}),
}
ENGINES = ("auto", "multiseed", "jagged", "cpu", "reference", "distributed")
RENAMED_ENGINES = {
    "fused": "multiseed",
    "graphed": "jagged",
    "threaded": "cpu",
    "plain": "reference",
}
# What a training had whose record does not say it: settings that came after it.
_BEFORE: Mapping[str, Setting] = {
    "block": "attention",
    "genre_width": 0,
    "negatives": 1024,
    "gap_width": 0,
    "depth_width": 0,
    "teachers": 0,
    "teacher_share": 0.0,
    "clock": "seconds",
    "calibration": 0.75,
    "smoothing": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "weight_decay": 0.0,
}
_RANGES: tuple[tuple[str, float, float], ...] = (
    *((name, 1, 4096) for name in ("item_width", "blocks", "heads", "groups", "validate_every")),
    *((name, 0, 4096) for name in ("week_width", "user_width", "rating_width", "genre_width")),
    *((name, 0, 4096) for name in ("gap_width", "depth_width")),
    ("overflow_rows", 0, 4096),
    *((name, 0, 0.99) for name in ("dropout", "sse_user", "sse_item", "ema_decay")),
    *((name, 0, 1) for name in ("teacher_share", "calibration")),
    ("smoothing", 0, 0.99),
    ("teachers", 0, 100),
    *((name, 0, 1_000_000) for name in ("group_weight", "group_pairs", "l2", "warmup")),
    ("weight_decay", 0, 100),
    *(
        (name, 1, 1_000_000)
        for name in ("time_span", "batch_size", "epochs", "patience", "negatives")
    ),
    *((name, 0, 0.9999) for name in ("beta1", "beta2")),
    ("group_refresh", 1, 1_000_000),
    ("group_margin", -1, 1),
    ("max_length", 1, 4096),
    ("learning_rate", 1e-9, 10),
)


@dataclass(frozen=True)
class Variant:
    """A model of the ladder: its name, and which parts it has."""

    display_name: str
    parts: tuple[str, ...]


def _variant(display_name: str, *parts: str) -> Variant:
    return Variant(display_name, parts)


# Each rung of the paper's ladder is the one above it plus one idea. SSE-PT and HSTU (HSTU-like, see
# `fpt_model/model/hstu.py`) are others' and stand beside it.
VARIANTS = {
    "sasrec": _variant("SASRec"),
    "tisasrec": _variant("TiSASRec", "intervals"),
    "tisasrec_plus": _variant("TiSASRec+", "intervals", "overflow"),
    "tisasrec_plus_plus": _variant("TiSASRec++", "intervals", "overflow", "week"),
    "sas_fpt": _variant("SAS-FPT", "intervals", "overflow", "week", "user", "groups"),
    "sse_pt": _variant("SSE-PT", "user", "stochastic"),
    "hstu": _variant("HSTU", "intervals", "gate"),
}

# What a part sets when a variant has it. SSE-PT's width and chances are those of its authors'
# command for MovieLens-1M (they state what is kept: 0.08 of users, 0.9 of items).
_PARTS: dict[str, Mapping[str, Setting]] = {
    "intervals": {"intervals": True},
    "overflow": {"overflow_rows": 3},  # as many as the authors' code adds, and never reaches
    "week": {"week_width": 25},
    "user": {"user_width": 25},
    "groups": {"group_weight": 0.01},
    "gate": {"block": "hstu"},
    "stochastic": {"user_width": 50, "sse_user": 0.92, "sse_item": 0.1},
}


@dataclass(frozen=True)
class Preset:
    """Sizes and schedule, never which parts a variant has.

    Attributes:
        base: settings of every variant.
        parts: settings that go with a part, in place of those of `_PARTS`, where a variant has it.
    """

    base: Mapping[str, Setting] = field(default_factory=dict)
    parts: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)


# The paper weighs the group loss by 0.01 and leaves open how many pairs a step it sums over. With
# 100 pairs the user vectors overfit; 500 pairs at weight 1, which is 50,000 at 0.01 in expectation,
# keep them from it (docs/experiments.md, chosen on validation).
_STRONG_GROUPS: Mapping[str, Setting] = {"group_weight": 1.0, "group_pairs": 500}

# What the field has learnt since the papers, and needs no more room: cross-entropy over all items
# (gSASRec, RecTools), averaged weights; of our own: windows anywhere in a history, no seen items
# among the candidates; beside the items their ratings, the time since the one before, and how many
# there are by then. Chosen on validation (docs/experiments.md).
_SINCE: Mapping[str, Setting] = {
    "loss": "softmax",
    "exclude_seen": True,
    "rating_width": 16,
    "gap_width": 8,
    "depth_width": 8,
    "windows": "random",
    "ema_decay": 0.9,
}
# And what needs more: long windows, wide vectors, a third block, items replaced at random (SSE-PT).
_LARGE: Mapping[str, Setting] = {
    **_SINCE,
    "item_width": 128,
    "max_length": 200,
    "blocks": 3,
    "heads": 4,
    "dropout": 0.2,
    "sse_item": 0.1,
    "epochs": 120,
    "patience": 6,
}
# Intervals of a clock that is not clipped after some minutes.
_BEST: Mapping[str, Setting] = {**_LARGE, "clock": "steps"}
_LARGE_PARTS: Mapping[str, Mapping[str, Setting]] = {
    "week": {"week_width": 32},
    "user": {"user_width": 32, "sse_user": 0.9},
    "stochastic": {"user_width": 32},
}

PRESETS = {
    "paper": Preset(parts={"groups": _STRONG_GROUPS}),
    # What two cores learn in half a minute: short windows, drawn anywhere in a history, and a
    # softmax, which learns from every item at each place. Chosen on validation of synthetic worlds
    # (docs/experiments.md).
    "quick": Preset(
        {
            "windows": "random",
            "loss": "softmax",
            "max_length": 20,
            "learning_rate": 4e-3,
            "batch_size": 128,
            "epochs": 28,
            "validate_every": 4,
            "patience": 3,
        },
        {"user": {"sse_user": 0.9}},
    ),
    # The paper compares width 50 (TiSASRec) with width 100 (SAS-FPT). Here every variant has 100:
    # SAS-FPT as in the paper, and the item's part takes what a variant's other parts leave.
    "matched": Preset(
        {"item_width": 100},
        {
            "week": {"item_width": 75},
            "user": {"item_width": 50},
            "groups": _STRONG_GROUPS,
        },
    ),
    # The paper's sizes, and windows anywhere in a history: its own sampler shows the latest window
    # alone, where a user's vector learns nothing that the window does not say. Users are replaced
    # half the time, as SSE-PT does; both chosen on validation (docs/experiments.md).
    "anywhere": Preset(
        {"windows": "random"}, {"user": {"sse_user": 0.5}, "groups": _STRONG_GROUPS}
    ),
    # Between `paper` and `best`: the paper's sizes, and all of `best` that needs no larger ones.
    "compact": Preset(_SINCE, {"user": {"sse_user": 0.5}, "groups": _STRONG_GROUPS}),
    # A step takes away 0.002 of each weight: on validation that gains as much as four teachers do,
    # and windows of 400 as much again. With both it learns for longer (docs/experiments.md).
    "best": Preset(
        {
            **_BEST,
            "learning_rate": 2e-3,
            "weight_decay": 1.0,
            "max_length": 400,
            "epochs": 200,
            "patience": 8,
        },
        _LARGE_PARTS,
    ),
    # A student at the price of six trainings: four others teach it, which takes more epochs, and
    # it is trained anew on all but the test item. Weights that decay do not gain by teachers.
    "best_taught": Preset(
        {
            **_BEST,
            "teachers": 4,
            "teacher_share": 0.5,
            "refit": True,
            "epochs": 240,
            "validate_every": 10,
            "patience": 4,
        },
        _LARGE_PARTS,
    ),
    # Times as of when the next item is asked for, which a running system knows (HSTU). In data
    # like MovieLens that is the held-out rating's own timestamp, so its figures are apart.
    "best_request": Preset(
        {**_LARGE, "time_reference": "query", "gap_width": 0, "depth_width": 0}, _LARGE_PARTS
    ),
}


def resolve(
    model: str, preset: str, overrides: Mapping[str, Setting | str] | None = None
) -> Config:
    """The settings of a variant under a preset, some of them overridden.

    Args:
        model: a key of `VARIANTS`.
        preset: a key of `PRESETS`.
        overrides: values by the name of a setting, of now or of an earlier version; strings are
            read as the setting's type.

    Raises:
        ModelError: unknown model, preset or setting, or a value that is out of range.
    """
    variant, sizes = known("model", model, VARIANTS), known("preset", preset, PRESETS)
    values: dict[str, Any] = dict(sizes.base)
    for part in variant.parts:
        values |= {**_PARTS[part], **sizes.parts.get(part, {})}
    for name, value in renamed(overrides or {}, tell=True).items():
        values[name] = read_setting(name, value, known("setting", name, _kinds()))
    config = Config(model=model, preset=preset, **values)
    if bool(config.teachers) != bool(config.teacher_share):
        raise ModelError(
            "One setting without the other changes nothing",
            got=f"teachers {config.teachers}, teacher_share {config.teacher_share:g}",
            expected="both, such as teachers=4 and teacher_share=0.5, or neither",
        )
    if config.smoothing and config.loss != "softmax":
        raise ModelError(
            "Smoothing divides a target among all items",
            got=f"smoothing {config.smoothing:g}, loss {config.loss}",
            expected="loss softmax, or smoothing 0",
        )
    return config


def from_dict(values: Mapping[str, Any]) -> Config:
    """The settings that `Config.to_dict` gave, of this version or one before it.

    Raises:
        ModelError: a setting is missing, unknown or out of range.
    """
    values = {**_BEFORE, **renamed(values)}
    names = {field.name for field in fields(Config)}
    if set(values) != names:
        raise ModelError(
            "Settings of another version",
            got=sorted(set(values) - names) or "none that is unknown",
            expected=sorted(names - set(values)) or "none that is missing",
        )
    return Config(**values)


def renamed(values: Mapping[str, T], *, tell: bool = False) -> dict[str, T | Setting]:
    """The same settings by the names of now.

    Args:
        values: by names of now or of an earlier version.
        tell: say the new name to whoever wrote the old one, once.

    Raises:
        ModelError: a setting stands there by both of its names.
    """
    found: dict[str, T | Setting] = {}
    for name, value in values.items():
        new, meanings = RENAMED.get(name, (name, {}))
        if new in found or (new != name and new in values):
            raise ModelError(f"Setting {new} is given twice", got=f"{name} and {new}")
        found[new] = meanings.get(value, value) if isinstance(value, str) else value
        if tell and new != name:
            _note(f"{name}={value} is {new}={str(found[new]).lower()} now")
    return found


def engine_name(name: str) -> str:
    """The engine's name of now, told once to whoever wrote the one of an earlier version."""
    if name in RENAMED_ENGINES:
        _note(f"engine {name} is {RENAMED_ENGINES[name]} now")
    return RENAMED_ENGINES.get(name, name)


@cache
def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _kinds() -> dict[str, type]:
    settable = [field for field in fields(Config) if field.name not in ("model", "preset")]
    return {f.name: f.type if isinstance(f.type, type) else str for f in settable}


def known(what: str, name: str, table: Mapping[str, T]) -> T:
    """What a table has by that name.

    Raises:
        ModelError: it has none.
    """
    if name not in table:
        raise ModelError(f"Unknown {what}", got=repr(name), expected=" or ".join(table))
    return table[name]


def read_setting(name: str, value: Setting | str, kind: type) -> Setting:
    """A setting's value; a string is read as one of its kind.

    Raises:
        ModelError: it can't be.
    """
    if not isinstance(value, str) or kind is str:
        return value
    try:
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        return int(value) if kind is int else float(value)
    except (ValueError, KeyError) as error:
        raise ModelError(f"Setting {name} is no {kind.__name__}", got=repr(value)) from error

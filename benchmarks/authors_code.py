"""The public code of the paper, fed by us: its modules, its data, its model in several variants.

    git clone https://github.com/ukangrui/SAS-FPT

Nothing of it stands here. Its modules are imported from that folder; its model and its reader of
data run as they are, and what we change is put into their name spaces when they run:

- Its attention builds a mask on the processor, and its model takes arrays of NumPy; a stand-in for
  `torch` in its module builds masks on the model's device and lets tensors through. So nothing of
  a step waits for the processor, and a GPU can replay it.
- Its sampler draws each negative in Python and redraws until it is new to the user; ours draws
  from the same distribution at once. `Windows` are what it would have given.
- The progress bar `tqdm` may be missing.

Its folder `base_TiSASRec` is github.com/pmixer/TiSASRec.pytorch at commit b18341f: the models are
the same file, and the readers differ in a filter that 5-core data pass. The week of a rating is
that of the machine's time zone; here it is UTC.

Letters: N users, B users of a step, T window.
"""

import importlib.util
import os
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from harness import ROOT
from reference import quiet
from torch import Tensor

from fpt_model.data.sequences import Sequences, Split
from fpt_model.evaluation.ranks import BATCH, compare_drawn, evaluated, filled, joined
from fpt_model.files.written import read_written

assert ROOT  # its import makes the checkout's packages known

LENGTH, SPAN = 50, 256  # maxlen and time_span of its main.py
PAPER, BASE = "codes/SAS-FPT", "codes/base_TiSASRec"
GROUPS = f"{PAPER}/cluster_user_emb.npy"
Second = Literal["", "groups", "groups, zeros", "empty, zeros"]
Histories = dict[int, list[list[int]]]  # of a user, each interaction's item, time and week


@dataclass(frozen=True)
class Variant:
    """A form of its code.

    Attributes:
        text: for tables.
        folder: whose model.
        width: `hidden_units`; SAS-FPT's holds 25 of the user and 25 of the week.
        second: the second optimiser step of a batch: none; the group loss's, before which
            gradients become None (torch 2.0 and later) or zeros (before), so that every weight
            moves on by its momentum; or one without any loss, on zeros.
        users, weeks: whether there are such embeddings; else they are zero and stay so.
    """

    text: str
    folder: str = PAPER
    width: int = 100
    second: Second = ""
    users: bool = True
    weeks: bool = True


VARIANTS = {
    "tisasrec": Variant("TiSASRec, as published", BASE, 50),
    "tisasrec-second": Variant("TiSASRec, an empty second step", BASE, 50, "empty, zeros"),
    "tisasrec-100": Variant("TiSASRec, 100 wide", BASE, 100),
    "sas-fpt": Variant("SAS-FPT, as published", second="groups"),
    "sas-fpt-zeros": Variant("SAS-FPT, gradients zero, not None", second="groups, zeros"),
    "sas-fpt-no-second": Variant("SAS-FPT without the second step"),
    "sas-fpt-no-users": Variant("SAS-FPT without users", users=False),
    "sas-fpt-no-weeks": Variant("SAS-FPT without weeks", second="groups", weeks=False),
    "sas-fpt-empty": Variant("SAS-FPT, an empty second step", second="empty, zeros"),
}


@dataclass(frozen=True)
class Windows:
    """The latest T interactions of N users, padded on the left with zeros, as its sampler has it.

    Attributes:
        items, times, weeks: (N, T) int64; times in units of the user's shortest gap.
    """

    items: Tensor
    times: Tensor
    weeks: Tensor

    def to(self, device: torch.device) -> "Windows":
        """On another device."""
        return Windows(*(value.to(device) for value in vars(self).values()))

    def select(self, rows: Tensor) -> "Windows":
        """Of some users."""
        return Windows(*(value[rows] for value in vars(self).values()))

    def intervals(self) -> Tensor:
        """(N, T, T)."""
        return (self.times[:, :, None] - self.times[:, None]).abs().clamp(max=SPAN)


@dataclass(frozen=True)
class Data:
    """What a training and its evaluation look up.

    Attributes:
        train: inputs; targets: (N, T), of each; valid, test: what lies before the held-out item.
        groups: (N,) int64, of its file.
    """

    train: Windows
    targets: Tensor
    valid: Windows
    test: Windows
    groups: Tensor

    def to(self, device: torch.device) -> "Data":
        """On another device."""
        return Data(*(value.to(device) for value in vars(self).values()))


class FedTorch:
    """`torch` for its module; see above."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.sent: dict[tuple[tuple[int, ...], bytes], Tensor] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def ones(self, *size: Any, **settings: Any) -> Tensor:
        """On the model's device."""
        return torch.ones(*size, **{"device": self.device, **settings})

    def LongTensor(self, values: Any) -> Tensor:  # noqa: N802
        """A tensor stays where it is; an array, its positions, is sent to the device once."""
        if isinstance(values, Tensor):
            return values.long()
        array = np.asarray(values)
        key = array.shape, array.tobytes()
        if key not in self.sent:
            self.sent[key] = torch.LongTensor(array).to(self.device)
        return self.sent[key]

    @staticmethod
    def BoolTensor(values: Any) -> Tensor:  # noqa: N802
        """Likewise."""
        return torch.as_tensor(values).bool()


def import_file(path: Path) -> ModuleType:
    """A module of the checkout, anew at each call."""
    if not path.is_file():
        sys.exit(f"No {path}: --reference is a checkout of github.com/ukangrui/SAS-FPT")
    if importlib.util.find_spec("tqdm") is None:
        sys.modules["tqdm"] = bar = ModuleType("tqdm")
        bar.tqdm = lambda values, **_: values  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location(f"authors_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_lines(sequences: Path, path: Path) -> None:
    """The format of its reader: user, item and second, separated by tabs, in our order."""
    table = read_written(sequences)[0]
    lists = table["item_ids"].combine_chunks()
    lengths = np.diff(lists.offsets.to_numpy())
    stamps = table["timestamps"].combine_chunks().flatten().to_numpy()
    users = np.repeat(table["user_id"].to_numpy(), lengths)
    np.savetxt(path, np.stack([users, lists.flatten().to_numpy(), stamps], 1), "%d", "\t")


def read(reference: Path, folder: str, sequences: Path) -> tuple[ModuleType, list[Any]]:
    """Its module of data, and what its reader makes of our histories."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    utils = import_file(reference.resolve() / folder / "utils.py")
    sequences = sequences.resolve()
    with tempfile.TemporaryDirectory() as kept, chdir(kept), quiet():
        Path("data").mkdir()
        write_lines(sequences, Path("data/ours.txt"))
        return utils, utils.data_partition("ours")


def refuse_other_split(data: Sequence[Any], sequences: Sequences) -> None:
    """Exit unless its reader has our users, items and split."""
    parts: tuple[Histories, Histories, Histories] = (data[0], data[1], data[2])
    starts, items = sequences.starts.tolist(), sequences.items.tolist()
    for user in range(1, sequences.n_users + 1):
        own = items[starts[user - 1] : starts[user]]
        theirs = [[one[0] for one in part[user]] for part in parts]
        held_out = len(own) - int(sequences.n_train[user - 1]) > 0
        ours = [own[:-2], own[-2:-1], own[-1:]] if held_out else [own, [], []]
        if theirs != ours:
            sys.exit(f"Its reader splits the history of user {user} otherwise")
    if (data[3], data[4]) != (sequences.n_users, sequences.n_items):
        sys.exit(f"Its reader has {data[3]} users and {data[4]} items")


def windows_of(histories: Sequence[Sequence[Sequence[int]]]) -> Windows:
    """The latest T of each history; a reader without weeks gives zeros."""
    found = np.zeros((3, len(histories), LENGTH), np.int64)
    for row, history in enumerate(histories):
        if history:
            latest = np.array(history[-LENGTH:]).T  # two rows or three
            found[: len(latest), row, -latest.shape[1] :] = latest
    return Windows(*torch.from_numpy(found))


def prepare(reference: Path, path: Path, sequences: Sequences) -> Data:
    """Windows of its reader's histories; those of the base are the same but for weeks."""
    _, data = read(reference, PAPER, path)
    refuse_other_split(data, sequences)
    train, valid = ([part[user] for user in range(1, data[3] + 1)] for part in data[:2])
    return Data(
        train=windows_of([own[:-1] for own in train]),
        targets=_targets(train),
        valid=windows_of(train),
        test=windows_of([own + last for own, last in zip(train, valid, strict=True)]),
        groups=torch.from_numpy(np.load(reference / GROUPS).astype(np.int64)),
    )


def _targets(train: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """(N, T), what comes after each input."""
    return windows_of([own[1:] for own in train]).items


def build(reference: Path, variant: Variant, sequences: Sequences, *, fed: bool = True) -> Any:
    """Its model with first weights as its main.py draws them, by torch's generators.

    Args:
        reference, variant, sequences: as elsewhere.
        fed: whether its module gets our stand-in for `torch`; see above.
    """
    device = sequences.items.device
    code = import_file(reference / variant.folder / "model.py")
    if fed:
        code.torch = FedTorch(device)  # type: ignore[attr-defined]
    settings = Namespace(
        maxlen=LENGTH, hidden_units=variant.width, num_blocks=2, num_heads=1, dropout_rate=0.2,
        time_span=SPAN, device=str(device),
    )  # fmt: skip
    sizes = sequences.n_users, sequences.n_items, sequences.n_items
    model = code.TiSASRec(*sizes, settings).to(device)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.xavier_uniform_(parameter.data)
    for there, name in ((variant.users, "user_emb"), (variant.weeks, "week_emb")):
        if not there:
            getattr(model, name).weight.requires_grad_(False).zero_()
    return model


def features(model: Any, variant: Variant, users: Tensor, windows: Windows) -> Tensor:
    """(B, T, D) of its model for users (B,), ids from 1."""
    weeks = (windows.weeks,) if variant.folder == PAPER else ()
    return model.seq2feats(users, windows.items, windows.intervals(), *weeks)


@torch.no_grad()
def ranks(model: Any, variant: Variant, data: Data, sequences: Sequences, split: Split) -> Tensor:
    """(N,) ranks by ours among the stored candidates; its users and weeks add the same to all."""
    model.eval()
    parts, windows = [], data.valid if split == "valid" else data.test
    for rows in evaluated(sequences).split(BATCH):
        whole = filled(rows, BATCH)
        last = features(model, variant, whole + 1, windows.select(whole))[: len(rows), -1]
        own = last[:, : model.item_emb.embedding_dim, None]

        def score(items: Tensor, own: Tensor = own) -> Tensor:
            return (model.item_emb(items) @ own).squeeze(-1)

        parts.append(compare_drawn(rows, score, sequences, split))
    return joined(parts).ranks["uniform_100"]

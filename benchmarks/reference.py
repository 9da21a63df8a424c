"""The public TiSASRec.pytorch, run as published beside ours.

    git clone https://github.com/pmixer/TiSASRec.pytorch

Its model, sampler processes, data reader and evaluation are imported from that folder. Its training
loop stands in a script that reads its arguments when imported, so `Reference.step` says the same
loop body again. It was tried at commit b18341f with PyTorch 2.13 and NumPy 2.4, unpatched.
"""

import contextlib
import importlib.util
import io
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
import torch

from fpt_model.config import resolve
from fpt_model.data.sequences import Sequences

SAMPLERS = 3  # processes, as its main.py has it


class Reference:
    """Its training at the paper's sizes. As a context it ends its sampler processes.

    Args:
        folder: a checkout.
        sequences: ours; its reader gets them as a text file.
        device: to train on.
    """

    def __init__(self, folder: Path, sequences: Sequences, device: torch.device) -> None:
        self.utils = module(folder / "utils.py")
        config = resolve("tisasrec", "paper")
        self.settings = Namespace(
            maxlen=config.max_length,
            hidden_units=config.item_width,
            num_blocks=config.blocks,
            num_heads=config.heads,
            dropout_rate=config.dropout,
            time_span=config.time_span,
            l2_emb=config.l2,
            device=str(device),
        )
        with quiet():
            self.data = self._read(sequences)
            users, n_users, n_items = self.data[0], self.data[3], self.data[4]
            shape = (self.settings.maxlen, self.settings.time_span)
            relation = self.utils.Relation(users, n_users, *shape)
        self.sampler = self.utils.WarpSampler(
            users,
            n_users,
            n_items,
            relation,
            batch_size=config.batch_size,
            maxlen=config.max_length,
            n_workers=SAMPLERS,
        )
        model = module(folder / "model.py").TiSASRec(n_users, n_items, n_items, self.settings)
        self.model = model.to(device)
        for parameter in self.model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.xavier_uniform_(parameter.data)
        self.model.train()
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
        )
        self.loss = torch.nn.BCEWithLogitsLoss()

    def __enter__(self) -> "Reference":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.sampler.close()

    def step(self) -> None:
        """The body of the loop in its main.py."""
        model, settings = self.model, self.settings
        user, items, _, intervals, positives, negatives = map(np.array, self.sampler.next_batch())
        wins, losses = model(user, items, intervals, positives, negatives)
        self.optimizer.zero_grad()
        real = np.where(positives != 0)
        loss = self.loss(wins[real], torch.ones(wins.shape, device=settings.device)[real])
        loss += self.loss(losses[real], torch.zeros(losses.shape, device=settings.device)[real])
        for table in (
            model.item_emb,
            model.abs_pos_K_emb,
            model.abs_pos_V_emb,
            model.time_matrix_K_emb,
            model.time_matrix_V_emb,
        ):
            for parameter in table.parameters():
                loss += settings.l2_emb * torch.norm(parameter)
        loss.backward()
        self.optimizer.step()
        loss.item()  # it prints the loss of each step

    def wait_for_sampler(self) -> None:
        """Until its queue is full, so that nothing of it runs while something else is timed."""
        while not self.sampler.result_queue.full():
            time.sleep(0.1)
        time.sleep(1)

    def evaluate(self) -> tuple[float, float]:
        """NDCG@10 and hit rate of the test split, one user at a time."""
        self.model.eval()
        with quiet():
            return self.utils.evaluate(self.model, self.data, self.settings)

    def _read(self, sequences: Sequences) -> Any:
        """Its reader's result; it looks for data/<name>.txt in the current folder."""
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder) / "data"
            data.mkdir()
            write_lines(sequences, data / "ours.txt")
            with contextlib.chdir(folder):
                return self.utils.data_partition("ours")


def write_lines(sequences: Sequences, path: Path) -> None:
    """Its format: user, item and seconds, separated by tabs."""
    users = torch.arange(1, sequences.n_users + 1).repeat_interleave(sequences.lengths.cpu())
    columns = torch.stack([users, sequences.items.cpu(), sequences.times.cpu()], 1)
    np.savetxt(path, columns.numpy(), fmt="%d", delimiter="\t")


def module(path: Path) -> ModuleType:
    """A module of the checkout; its names (`utils`, `model`) are too common for the import path."""
    if not path.is_file():
        sys.exit(f"No {path}: --reference is a checkout of github.com/pmixer/TiSASRec.pytorch")
    if importlib.util.find_spec("tqdm") is None:  # a bare GPU machine; it draws one progress bar
        sys.modules["tqdm"] = bar = ModuleType("tqdm")
        bar.tqdm = lambda values, **_: values
    spec = importlib.util.spec_from_file_location(f"tisasrec_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing of what it prints: a line a step, a dot for every hundred users, a bar."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield

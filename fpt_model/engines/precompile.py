"""Kernels compiled before they are needed, as many at a time as there are cores.

Triton compiles a kernel at its first launch, one after the other: with several models as long as
they train. What was never compiled on this machine is compiled by processes (`compile_aside.py`),
where a server stands ready to fork them; threads do the rest, and what is left: a launcher, by a C
compiler, and the module on the GPU.
"""

import gc
import hashlib
import json
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fpt_model.config import Config
from fpt_model.data.sequences import Sequences
from fpt_model.engines.carry import carried
from fpt_model.engines.choose import ENGINES, engine_of, engines_of
from fpt_model.engines.compile_aside import Compilers, Kind, compilers, hash_triton
from fpt_model.engines.contract import Engine
from fpt_model.engines.shared import Training
from fpt_model.errors import ModelError
from fpt_model.processes import server
from fpt_model.version import code_version

Named = Sequence[tuple[str, Config]]
"""Settings, each with its engine's name."""

Missing = dict[tuple[str, str], Callable[[str], object]]
"""What compiles a kernel, by its name and by what it is to be specialised to."""


class Compiled(NamedTuple):
    """Kernels that trainings will launch: how many there are, and how many were compiled just now.

    The others were found.

    >>> print(Compiled(45, 2))
    45 kernels: 43 found, 2 compiled
    """

    kernels: int
    compiled: int

    def __str__(self) -> str:
        found = self.kernels - self.compiled
        return f"{self.kernels} kernels: {found} found, {self.compiled} compiled"


def compile_ahead(configs: Iterable[Config], sequences: Sequences, engine: str) -> Compiled:
    """Compile all that trainings of these settings will launch; no memory is held afterwards.

    Args:
        configs: the settings.
        sequences: on the device to train on.
        engine: as in `train`; where it has no kernels, there is nothing to be done.
    """
    named = with_kernels(configs, engine, sequences.device)
    if not named:
        return Compiled(0, 0)
    sign = _sign_of(named, sequences) if server() else None
    tried = compile_noted(named, sequences, _kind() if sign and not sign.exists() else None)
    if sign and tried.whole and not tried.failed:
        with suppress(OSError):
            sign.touch()
    gc.collect()  # an engine and its training know each other
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return tried.done


class Tried(NamedTuple):
    """What came of trying settings.

    Attributes:
        done: how many kernels they have.
        failed: the names of those that can't be compiled.
        whole: whether all settings could be tried.
    """

    done: Compiled
    failed: list[str]
    whole: bool


def with_kernels(configs: Iterable[Config], engine: str, device: torch.device) -> Named:
    """The settings for which there is something to compile."""
    named = [(engine_of(engine, config, device), config) for config in configs]
    return [(name, config) for name, config in named if ENGINES[name].compiles]


def compile_noted(named: Named, sequences: Sequences, kind: Kind | None) -> Tried:
    """Try settings, and compile what they would launch.

    Args:
        named: see `with_kernels`.
        sequences: to train on.
        kind: of GPU to compile for by processes; None: all is compiled here.
    """
    with compilers(kind) as aside:
        missing, whole = _missing(named, sequences, aside)
    with _counted() as here:
        failed = compile_all(missing)
    compiled = len(here) + (aside.compiled if aside else 0)
    return Tried(Compiled(len(missing), compiled), failed, whole)


@contextmanager
def _counted() -> Iterator[list[str]]:
    """The names of kernels that this process compiles meanwhile, and did not find."""
    from triton import knobs

    compiled: list[str] = []
    before = knobs.compilation.listener

    def listen(*, src: Any, cache_hit: bool, **others: Any) -> None:
        if not cache_hit:
            compiled.append(src.name)
        if before is not None:
            before(src=src, cache_hit=cache_hit, **others)

    knobs.compilation.listener = listen
    try:
        yield compiled
    finally:
        knobs.compilation.listener = before


def _missing(named: Named, sequences: Sequences, aside: Compilers | None) -> tuple[Missing, bool]:
    """What lacks, and whether that is all: none of the settings failed."""
    if sequences.device.type == "cuda":
        threading.Thread(target=hash_triton, daemon=True).start()  # meanwhile
    missing: Missing = {}
    whole = True
    for name, config in named:
        try:
            (one,) = engines_of(name, [Training(config, 0, sequences)])
            missing |= dry_run(one, aside)
        except Exception:  # it will fail again when it is trained, and be named
            traceback.print_exc()
            whole = False
    return missing, whole


def dry_run(engine: Engine, aside: Compilers | None = None) -> Missing:
    """Kernels that an engine would have to compile. It is of no use afterwards.

    Args:
        engine: to be used up.
        aside: who begins to compile each as soon as it is known.
    """
    with warnings.catch_warnings(), _noted(aside) as missing:
        warnings.filterwarnings("ignore", message="The CUDA Graph is empty")
        engine.train()
        with suppress(ModelError):  # nothing is launched: scores are whatever lay in memory
            engine.rank("valid", ("uniform_100",))
    return missing


def compile_all(missing: Missing) -> list[str]:
    """Compile side by side; launches will find what was compiled. Returns the names of others."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = {key: pool.submit(_load, key[1], preload) for key, preload in missing.items()}
    failed = [key for key, one in done.items() if one.exception() is not None]
    # Python's parser can trip over another thread's work
    return [key[0] for key in failed if not _compile_alone(*key, missing[key])]


def _sign_of(named: Named, sequences: Sequences) -> Path:
    """A file in Triton's cache, there if all for these settings was compiled into it before.

    It has the folder in its name: in one that was moved Triton finds nothing. So it has the folder
    of kernels that travels, if there is one: another may have fewer.
    """
    from triton import __version__, knobs

    settings = [f"{name} {json.dumps(config.to_dict(), sort_keys=True)}" for name, config in named]
    facts = [code_version(), __version__, *map(str, _kind()), sequences.values, *sorted(settings)]
    folder = Path(knobs.cache.dir).absolute()
    facts.append(str(carried() or ""))
    digest = hashlib.sha256("\0".join([str(folder), *facts]).encode()).hexdigest()
    return folder / f"fpt-{digest[:32]}"


def _kind() -> Kind:
    from triton.runtime import driver

    target = driver.active.get_current_target()
    return target.backend, target.arch, target.warp_size


def _load(what: str, preload: Callable[[str], Any]) -> None:
    """Compile a kernel, or find it, and make it ready for launches, where there is a GPU."""
    kernel = preload(what)
    if torch.cuda.is_available():
        kernel.run  # noqa: B018 - Triton makes its launcher and loads its module when it is asked for


def _compile_alone(name: str, what: str, preload: Callable[[str], object]) -> bool:
    """Whether it can be."""
    try:
        _load(what, preload)
        return True
    except Exception:  # its launch will raise it again, and name the training
        print(f"{name} can't be compiled", file=sys.stderr)
        traceback.print_exc()
        return False


@contextmanager
def _noted(aside: Compilers | None) -> Iterator[Missing]:
    """Triton asks a hook before it compiles; if that says yes, it neither compiles nor launches."""
    from triton import knobs

    from fpt_model.engines.gpu.kernel_keys import settle

    missing: Missing = {}

    def note(*, fn: Any, compile: Mapping[str, Any], **_: Any) -> bool:
        settle(fn.jit_function)
        missing[fn.name, compile["specialization_data"]] = fn.jit_function.preload
        if aside:
            aside.compile(compile["specialization_data"])
        return True

    before = knobs.runtime.jit_cache_hook
    knobs.runtime.jit_cache_hook = note
    try:
        yield missing
    finally:
        knobs.runtime.jit_cache_hook = before

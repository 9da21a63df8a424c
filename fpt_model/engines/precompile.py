"""Kernels compiled before they are needed, as many at a time as there are cores.

Triton compiles a kernel at its first launch, one after the other: with several models as long as
they train. Most of a compilation is done without Python's lock, so threads do it side by side.
"""

import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from fpt_model.config import Config
from fpt_model.data.sequences import Sequences
from fpt_model.engines.choose import ENGINES, engine_of, engines_of
from fpt_model.engines.contract import Engine
from fpt_model.engines.shared import Training
from fpt_model.errors import ModelError

Missing = dict[tuple[str, str], Callable[[str], object]]
"""What compiles a kernel, by its name and by what it is to be specialised to."""


def compile_ahead(configs: Iterable[Config], sequences: Sequences, engine: str) -> None:
    """Compile all that trainings of these settings will launch.

    Args:
        configs: the settings.
        sequences: on the device to train on.
        engine: as in `train`; where it has no kernels, there is nothing to be done.
    """
    missing: Missing = {}
    for config in configs:
        name = engine_of(engine, config, sequences.device)
        if not ENGINES[name].compiles:
            continue
        try:
            (one,) = engines_of(name, [Training(config, 0, sequences)])
            missing |= dry_run(one)
        except Exception:  # it will fail again when it is trained, and be named
            traceback.print_exc()
    compile_all(missing)


def dry_run(engine: Engine) -> Missing:
    """Kernels that an engine would have to compile. It is of no use afterwards."""
    with warnings.catch_warnings(), _noted() as missing:
        warnings.filterwarnings("ignore", message="The CUDA Graph is empty")
        engine.train()
        with suppress(ModelError):  # nothing is launched: scores are whatever lay in memory
            engine.rank("valid", ("uniform_100",))
    return missing


def compile_all(missing: Missing) -> None:
    """Compile side by side; launches will find what was compiled."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = {key: pool.submit(preload, key[1]) for key, preload in missing.items()}
    for key, one in done.items():
        if one.exception() is not None:  # Python's parser can trip over another thread's work
            _compile_alone(*key, missing[key])


def _compile_alone(name: str, what: str, preload: Callable[[str], object]) -> None:
    try:
        preload(what)
    except Exception:  # its launch will raise it again, and name the training
        print(f"{name} can't be compiled", file=sys.stderr)
        traceback.print_exc()


@contextmanager
def _noted() -> Iterator[Missing]:
    """Triton asks a hook before it compiles; if that says yes, it neither compiles nor launches."""
    from triton import knobs

    missing: Missing = {}

    def note(*, fn: Any, compile: Mapping[str, Any], **_: Any) -> bool:
        missing[fn.name, compile["specialization_data"]] = fn.jit_function.preload
        return True

    before = knobs.runtime.jit_cache_hook
    knobs.runtime.jit_cache_hook = note
    try:
        yield missing
    finally:
        knobs.runtime.jit_cache_hook = before

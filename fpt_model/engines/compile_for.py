"""Kernels compiled on a machine without a GPU, for one that has it.

What a training launches depends on its settings, on its data and on the kind of GPU, and on nothing
else of the machine. So a training is tried on the CPU, as `precompile.py` tries it on a GPU: what
it would launch is noted, not launched. Matrix products of the library, most of the work, are left
out.
"""

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fpt_model.config import Config
from fpt_model.data.sequences import Sequences
from fpt_model.engines.compile_aside import STUB, Kind
from fpt_model.engines.precompile import Compiled, compile_noted, with_kernels
from fpt_model.errors import ModelError
from fpt_model.processes import server

# those that engines with kernels ask for
PRODUCTS = {torch.matmul, Tensor.matmul, Tensor.__matmul__}
IN_PLACE = {Tensor.addmm_, Tensor.baddbmm_}
LIBCUDA = "TRITON_LIBCUDA_PATH"
_NAMED = re.compile(r"sm_(\d{2,3})")
_LEAST = 80  # kernels multiply as Ampere and later GPUs can


def kind_of(name: str) -> Kind:
    """A kind of GPU from NVIDIA's name of it.

    Raises:
        ModelError: kernels of ours need another one.

    >>> kind_of("sm_90")
    ('cuda', 90, 32)
    """
    found = _NAMED.fullmatch(name)
    if not found or int(found[1]) < _LEAST:
        raise ModelError(
            "No such GPU to compile for",
            got=repr(name),
            expected="such as sm_90 (H100, H200) or sm_80 (A100)",
        )
    return "cuda", int(found[1]), 32


def compile_for(
    kind: Kind, configs: Iterable[Config], sequences: Sequences, engine: str = "auto"
) -> Compiled:
    """Compile all that trainings of these settings will launch on such a GPU.

    Args:
        kind: of GPU.
        configs: the settings.
        sequences: on the CPU.
        engine: as in `train`.

    Raises:
        ModelError: a kernel can't be compiled for it, or a training can't be tried.
    """
    from fpt_model.engines.gpu.aim import aim

    aim(*kind)
    named = with_kernels(configs, engine, torch.device("cuda"))
    with _WithoutProducts():
        tried = compile_noted(named, sequences, kind if server() else None)
    if tried.failed or not tried.whole:
        raise ModelError(
            f"Not all kernels can be compiled for sm_{kind[1]}",
            got=", ".join(tried.failed) or "a training that can't be tried, see above",
            to_do="Compile on the machine with the GPU",
        )
    return tried.done


class _WithoutProducts(TorchFunctionMode):
    """Matrix products give zeros, or leave what they would write to as it is."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in IN_PLACE:
            return args[0]
        if function not in PRODUCTS:
            return function(*args, **kwargs)
        if kwargs.get("out") is not None:
            return kwargs["out"]
        left, right = args
        return left.new_zeros(*left.shape[:-1], right.shape[-1])


@contextmanager
def launchers_without_a_gpu() -> Iterator[None]:
    """Let Triton 3.6 make its launchers too: they are linked to CUDA's driver, which is not here.

    An empty library of its name is enough for the linker. Before any process is forked.
    """
    compiler = os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")
    headers = Path(sysconfig.get_paths()["include"], "Python.h").is_file()
    if not compiler or not headers or os.environ.get(LIBCUDA):
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "empty.c")
        source.touch()
        words = ["-shared", "-Wl,-soname,libcuda.so.1", "-o", f"{folder}/libcuda.so.1"]
        with suppress(OSError, subprocess.CalledProcessError):
            subprocess.run([compiler, str(source), *words], check=True, capture_output=True)
            os.environ |= {LIBCUDA: folder, STUB: f"{folder}/libcuda.so.1"}
        try:
            yield
        finally:
            for name in (LIBCUDA, STUB):
                os.environ.pop(name, None)

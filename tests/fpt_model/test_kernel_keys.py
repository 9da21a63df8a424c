"""A kernel that one process compiled is found by the next, whatever either did before."""

import json
import os
import subprocess
import sys

import pytest

KEYS = """
import importlib, json, pkgutil, random, sys
from triton.runtime.jit import JITFunction
import fpt_model.engines as engines
from fpt_model.engines.gpu.kernel_keys import settle

parts = ("jagged", "multiseed", "gpu")
names = [one.name for one in pkgutil.walk_packages(engines.__path__, "fpt_model.engines.")]
names = [name for name in names if name.split(".")[2] in parts]
draw = random.Random(int(sys.argv[1]))
draw.shuffle(names)
kernels = {}
for name in names:
    for what, one in vars(importlib.import_module(name)).items():
        if isinstance(one, JITFunction) and one.__module__ == name:
            kernels[f"{name}.{what}"] = one
order = list(kernels)
draw.shuffle(order)
for name in order:
    settle(kernels[name])
twice = {}
for name, one in kernels.items():
    values = {}
    for (constant, _), (value, _) in one.used_global_vals.items():
        values.setdefault(constant, set()).add(str(value))
    twice |= {f"{name}: {constant}": 0 for constant, found in values.items() if len(found) > 1}
keys = {name: kernels[name].cache_key for name in sorted(kernels)}
print(json.dumps([keys, list(twice)]))
"""


def in_a_process(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """With kernels as a GPU has them, not as the interpreter does."""
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    real = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, env=real, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def found():
    runs = [in_a_process(KEYS, str(seed)) for seed in (1, 2)]
    assert [run.stderr for run in runs] == ["", ""]
    return [json.loads(run.stdout) for run in runs]


def test_keys_do_not_depend_on_what_was_imported_and_asked_for_first(found):
    (one, _), (other, _) = found
    assert len(one) > 100
    assert one == other


def test_no_kernel_takes_two_constants_of_one_name(found):
    """Triton orders them by where they lie in memory, so its key would change by chance."""
    assert [twice for _, twice in found] == [[], []]


def test_what_a_kernel_calls_is_found_by_name_and_in_modules():
    code = """
import triton.language as tl
from fpt_model.engines.gpu.kernel_keys import called
from fpt_model.engines.multiseed import buckets
print(*sorted(one.__name__ for one in called(buckets.sum_by_bucket)))
"""
    done = in_a_process(code)
    assert done.returncode == 0, done.stderr
    assert "bucket_offsets" in done.stdout.split()
    assert "from_first" in done.stdout.split()

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
assert "fpt_model.engines.jagged.engine" not in sys.modules
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


@pytest.fixture
def in_a_process(loaded, tmp_path):
    """Run code with kernels as a GPU has them, not as the interpreter does.

    `anew` is a process with a seed of hashes and addresses of its own, not a fork.
    """
    pytest.importorskip("triton", reason="Triton has no build for this platform")

    def run(code: str, *words: str, anew: bool = False) -> str:
        (script := tmp_path / "script.py").write_text(code)
        if anew:
            real = {name: x for name, x in os.environ.items() if name != "TRITON_INTERPRET"}
            command = [sys.executable, script, *words]
            done = subprocess.run(command, env=real, capture_output=True, text=True, timeout=120)
            assert (done.returncode, done.stderr) == (0, "")
            return done.stdout
        process = loaded.start(*words, script=script)
        out, said = process.communicate()
        assert (process.returncode, said) == (0, "")
        return out

    return run


def test_keys_do_not_depend_on_what_was_imported_and_asked_for_first(in_a_process):
    """Nor does a kernel take two constants of one name.

    Triton orders them by where they lie in memory, so its key would change by chance.
    """
    (one, twice), (other, twice_there) = (
        json.loads(in_a_process(KEYS, str(seed), anew=seed == 2)) for seed in (1, 2)
    )
    assert len(one) > 100
    assert one == other
    assert [twice, twice_there] == [[], []]


def test_what_a_kernel_calls_is_found_by_name_and_in_modules(in_a_process):
    code = """
import triton.language as tl
from fpt_model.engines.gpu.kernel_keys import called
from fpt_model.engines.multiseed import buckets
print(*sorted(one.__name__ for one in called(buckets.sum_by_bucket)))
"""
    assert {"bucket_offsets", "from_first"} <= set(in_a_process(code).split())

"""Kernels that are compiled ahead: which, by whom, and what fails."""

import subprocess
import sys

import pytest

from fpt_model.data.sequences import load
from fpt_model.engines import precompile as compiling
from fpt_model.engines.precompile import compile_ahead, compile_all

# A driver that knows what to compile for is all that Triton needs to compile.
WITHOUT_GPU = """
from types import SimpleNamespace

import torch, triton, triton.language as tl
from triton.backends.compiler import GPUTarget

from fpt_model.engines.precompile import compile_all, dry_run
from fpt_model.errors import ModelError

triton.runtime.driver.set_active(
    SimpleNamespace(
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
        get_current_device=lambda: 0,
        get_current_stream=lambda device: 0,
    )
)

@triton.jit
def fill(out, value, BLOCK: tl.constexpr):
    tl.store(out + tl.arange(0, BLOCK), value)

@triton.jit
def double(out, BLOCK: tl.constexpr):
    tl.store(out + tl.arange(0, BLOCK), 2 * tl.load(out + tl.arange(0, BLOCK)))

class Engine:
    out = torch.zeros(16)

    def train(self):
        for value in (0.5, 1.5):
            fill[(1,)](self.out, value, BLOCK=16)
        fill[(1,)](self.out, 1.0, BLOCK=16, num_warps=1)

    def rank(self, split, protocols):
        double[(1,)](self.out, BLOCK=16)
        raise ModelError("What was not computed may be anything")

missing = dry_run(Engine())
print(sorted(name.rpartition(".")[2] for name, _ in missing), float(Engine.out.sum()))
compile_all(missing)
"""


@pytest.mark.slow
def test_what_a_training_launches_is_noted_not_run_and_then_compiled(tmp_path, monkeypatch):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    script = tmp_path / "script.py"  # Triton reads the source of a kernel
    script.write_text(WITHOUT_GPU)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["['double',", "'fill',", "'fill']", "0.0"]
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*.cubin")) == [
        "double.cubin",
        "fill.cubin",
        "fill.cubin",
    ]


def test_what_failed_beside_others_is_tried_again_alone(capsys):
    tried = []

    def preload(what):
        tried.append(what)
        if tried.count(what) <= {"good": 0, "once": 1, "never": 9}[what]:
            raise SystemError("out of luck")

    compile_all({(name, name): preload for name in ("good", "once", "never")})
    assert sorted(tried) == ["good", "never", "never", "once", "once"]
    said = capsys.readouterr().err
    assert "never can't be compiled" in said
    assert "SystemError: out of luck" in said
    assert "once" not in said


@pytest.mark.parametrize("engine", ["auto", "cpu", "reference"])
def test_where_there_are_no_kernels_nothing_is_done(engine, learnable, small_config, monkeypatch):
    monkeypatch.setattr(compiling, "engines_of", lambda *_: pytest.fail("a training was begun"))
    compile_ahead([small_config("sas_fpt")], load(learnable), engine)


def test_settings_that_cannot_be_tried_do_not_disturb_the_others(
    learnable, small_config, monkeypatch, capsys
):
    tried = []

    def engines_of(_, trainings):
        tried.append(trainings[0].config.model)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(compiling, "engine_of", lambda *_: "multiseed")
    monkeypatch.setattr(compiling, "engines_of", engines_of)
    compile_ahead([small_config("sasrec"), small_config("sas_fpt")], load(learnable), "auto")
    assert tried == ["sasrec", "sas_fpt"]
    assert capsys.readouterr().err.count("RuntimeError: out of memory") == 2

"""Kernels that are compiled ahead: which, by whom, and what fails."""

import signal
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fpt_model.data.sequences import load
from fpt_model.engines import compile_aside
from fpt_model.engines import precompile as compiling
from fpt_model.engines.precompile import compile_ahead, compile_all

GPU = ("cuda", 90, 32)

TWO_KERNELS = """
@triton.jit
def fill(out, value, BLOCK: tl.constexpr):
    tl.store(out + tl.arange(0, BLOCK), value)

@triton.jit
def double(out, BLOCK: tl.constexpr):
    tl.store(out + tl.arange(0, BLOCK), 2 * tl.load(out + tl.arange(0, BLOCK)))
"""
# A driver that knows what to compile for is all that Triton needs to compile.
WITHOUT_GPU = (
    """

import torch, triton, triton.language as tl
from fpt_model.engines.gpu.aim import aim

from fpt_model.engines.precompile import compile_all, dry_run
from fpt_model.errors import ModelError

aim("cuda", 90, 32)

"""
    + TWO_KERNELS
    + """
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
)


@pytest.mark.slow
def test_what_a_training_launches_is_noted_not_run_and_then_compiled(tmp_path, monkeypatch, loaded):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    script = tmp_path / "script.py"  # Triton reads the source of a kernel
    script.write_text(WITHOUT_GPU)
    process = loaded.start(script=script)
    told, errors = process.communicate()
    assert process.returncode == 0, errors
    assert told.split() == ["['double',", "'fill',", "'fill']", "0.0"]
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
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    tried = []

    def engines_of(_, trainings):
        tried.append(trainings[0].config.model)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(compiling, "server", lambda: None)  # another test may have started one
    monkeypatch.setattr(compiling, "engine_of", lambda *_: "multiseed")
    monkeypatch.setattr(compiling, "engines_of", engines_of)
    compile_ahead([small_config("sasrec"), small_config("sas_fpt")], load(learnable), "auto")
    assert tried == ["sasrec", "sas_fpt"]
    assert capsys.readouterr().err.count("RuntimeError: out of memory") == 2


def test_what_this_machine_has_compiled_is_not_given_to_processes_again(
    learnable, small_config, monkeypatch, tmp_path
):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    kinds, failed, untried = [], [], []

    @contextmanager
    def compilers(kind):
        kinds.append(kind)
        yield None

    for name, one in {
        "server": lambda: 1,
        "_kind": lambda: GPU,
        "compilers": compilers,
        "engine_of": lambda *_: "multiseed",
        "engines_of": lambda *_: [None],
        "dry_run": lambda *_: untried.pop() if untried else {},
        "compile_all": lambda _: failed.pop() if failed else [],
    }.items():
        monkeypatch.setattr(compiling, name, one)
    failed.append(["a kernel"])
    sequences, other = load(learnable), small_config("tisasrec")
    for config in (small_config("sas_fpt"), other, other):
        compile_ahead([config], sequences, "auto")
    compile_ahead([small_config("sas_fpt")], sequences, "auto")  # of which one failed
    compile_ahead([small_config("sas_fpt")], sequences, "auto")
    assert kinds == [GPU, GPU, None, GPU, None]
    untried.append(None)  # a dry run fails, as where the GPU's memory is full
    for _ in range(3):
        compile_ahead([small_config("sasrec")], sequences, "auto")
    assert kinds[5:] == [GPU, GPU, None]
    # Triton finds nothing in a cache that was moved
    (tmp_path / "cache").rename(tmp_path / "moved")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "moved"))
    compile_ahead([other], sequences, "auto")
    compile_ahead([other], sequences, "auto")
    assert kinds[8:] == [GPU, None]


def test_where_there_is_no_room_for_semaphores_processes_are_done_without(monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compile_aside, "ProcessPoolExecutor", full)
    with compile_aside.compilers(GPU) as aside:
        assert aside is None


@pytest.mark.parametrize("error", [EOFError, OSError, BrokenProcessPool])
def test_a_server_that_has_died_is_asked_once_and_disturbs_no_dry_run(error, monkeypatch):
    asked = []

    def dead(*_):
        asked.append(1)
        raise error

    with compile_aside.compilers(GPU) as aside:
        monkeypatch.setattr(aside._pool, "submit", dead)
        for kernel in ("one", "another"):
            aside.compile(kernel)
    assert asked == [1]


KERNELS = (
    """
import multiprocessing, os, time
import triton, triton.language as tl

if multiprocessing.parent_process():
    exec(os.environ.get("IN_COMPILERS", ""))

"""
    + TWO_KERNELS
)
BY_PROCESSES = """
import os
from fpt_model import processes

def main():
    processes.start_server("cuda")

    import torch, triton
    from triton import knobs
    from fpt_model.engines.gpu.aim import aim

    import kernels_here
    from fpt_model.engines import compile_aside, precompile

    aim("cuda", 90, 32)

    class Engine:
        out = torch.zeros(16)

        def train(self):
            for warps in (1, 2):
                kernels_here.fill[(1,)](self.out, 0.5, BLOCK=16, num_warps=warps)

        def rank(self, split, protocols):
            kernels_here.double[(1,)](self.out, BLOCK=16)

    found = []
    knobs.compilation.listener = lambda *, src, cache_hit, **_: found.append((src.name, cache_hit))
    if "sleep" in os.environ["IN_COMPILERS"]:
        compile_aside.LONGEST_SECONDS = 0.5
    with compile_aside.compilers(("cuda", 90, 32)) as aside:
        missing = precompile.dry_run(Engine(), aside)
        print("begins", flush=True)
    print(precompile.compile_all(missing), sorted(found))
    processes.end_server()

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def by_processes(tmp_path, monkeypatch, loaded):
    """Start a process that compiles three kernels by others; in those `in_compilers` is run."""
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    (tmp_path / "kernels_here.py").write_text(KERNELS)
    (tmp_path / "script.py").write_text(BY_PROCESSES)

    def start(in_compilers: str = ""):
        return loaded.start(script=tmp_path / "script.py", IN_COMPILERS=in_compilers)

    return start


def session(leader: int) -> list[int]:
    """Processes that some process has started, and that are alive."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, *fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == leader and state != "Z":
                found.append(int(path.parent.name))
    return found


def all_end(leader: int) -> None:
    deadline = time.monotonic() + 10
    while left := session(leader):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("in_compilers", "there"),
    [
        ("", True),
        ("os._exit(1)", False),
        ("raise SyntaxError('out of luck')", False),
        ("time.sleep(300)", False),
    ],
)
def test_processes_compile_what_launches_find_and_what_they_cannot_is_compiled_here(
    by_processes, in_compilers, there
):
    process = by_processes(in_compilers)
    told, errors = process.communicate()
    assert process.returncode == 0, errors
    found = [("double", there), ("fill", there), ("fill", there)]
    assert told == f"begins\n[] {found}\n"
    assert "can't be compiled" not in errors
    all_end(process.pid)


SMOOTHED = """

import torch, triton
from fpt_model.engines.gpu.aim import aim

from fpt_model.engines.jagged import softmax
from fpt_model.engines.jagged.shapes import softmax_tiles

aim("cuda", 90, 32)

def ints(*shape):
    return torch.zeros(shape, dtype=torch.int32)

def halves(*shape):
    return torch.zeros(shape, dtype=torch.float16)

for width in (128, 256):
    for seen in (True, False):
        sizes = {"EXCLUDE_SEEN": seen, "SMOOTHING": 0.1, "B": 128, "W": width, "WP": width}
        sizes |= {"K": width + 8, "S": width}
        read = ints(4, 129), ints(128, 512), ints(64), halves(64, width + 8), halves(999, width)
        read, logs = (*read, ints(64)), torch.zeros(64, 2)
        for_tokens, for_items = softmax_tiles(seen, width, smoothed=True)
        of_tokens = *read, halves(64, width + 8), logs, torch.zeros(64), 998, 512
        of_items = *read, logs, torch.zeros(8, 999, width), 998, 512
        one = softmax.feature_grad.warmup(*of_tokens, grid=(1,), **sizes, **for_tokens)
        other = softmax.item_grad.warmup(*of_items, grid=(1,), **sizes, **for_items)
        print(one.metadata.shared, other.metadata.shared)
"""


@pytest.mark.slow
def test_kernels_of_a_smoothed_softmax_fit_into_shared_memory(tmp_path, monkeypatch, loaded):
    """Of an H100 a program has 227 KiB."""
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    (script := tmp_path / "script.py").write_text(SMOOTHED)
    process = loaded.start(script=script)
    told, errors = process.communicate()
    assert process.returncode == 0, errors
    bytes_asked = [int(word) for word in told.split()]
    assert len(bytes_asked) == 8
    assert max(bytes_asked) <= 227 << 10


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_compilers_end_with_the_process_that_asked(by_processes, number, tmp_path):
    begun = tmp_path / "begun"
    process = by_processes(f"open({str(begun)!r}, 'w'); time.sleep(300)")
    assert process.stdout.readline() == b"begins\n"
    deadline = time.monotonic() + 60
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(session(process.pid)) >= 4  # itself, the server, its tracker, a compiler
    process.send_signal(number)
    process.wait(10)
    all_end(process.pid)

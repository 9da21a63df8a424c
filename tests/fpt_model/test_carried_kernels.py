"""Kernels that were compiled in one folder are found in another, by real compilations for sm_90."""

import json
import os
import shutil
import sysconfig
from pathlib import Path

import pytest

from fpt_model.engines import carry as carry_module
from fpt_model.engines.carry import carried, carry, named_in
from fpt_model.engines.compile_aside import STUB
from fpt_model.engines.compile_for import kind_of, launchers_without_a_gpu
from fpt_model.errors import ModelError

KERNELS = """
import triton, triton.language as tl

@triton.jit
def fill(out, value, BLOCK: tl.constexpr):
    tl.store(out + tl.arange(0, BLOCK), value)

@triton.jit
def double(out, BLOCK: tl.constexpr):
    tl.store(out + tl.arange(0, BLOCK), tl.exp(tl.load(out + tl.arange(0, BLOCK))))
"""
# A driver that knows what to compile for is all that Triton needs to compile.
SCRIPT = """
import json, sys
from pathlib import Path

from fpt_model.engines.carry import carry

carry(Path(sys.argv[1]))

import torch, triton
from fpt_model.engines.gpu.aim import aim
from triton.runtime.cache import get_cache_manager

import kernels_here
from fpt_model.engines import precompile
from fpt_model.errors import ModelError
from fpt_model.files.kernels import builds

aim("cuda", 90, 32)

class Engine:
    out = torch.zeros(16)

    def train(self):
        for warps in (1, 2):
            kernels_here.fill[(1,)](self.out, 0.5, BLOCK=16, num_warps=warps)

    def rank(self, split, protocols):
        kernels_here.double[(1,)](self.out, BLOCK=16)
        raise ModelError("What was not computed may be anything")

missing = precompile.dry_run(Engine())
with precompile._counted() as compiled:
    failed = precompile.compile_all(missing)
# as Triton 3.6 keeps the launchers that a C compiler makes
launchers = get_cache_manager("ab" * 32)
known = launchers.get_file("launcher.so")
launchers.put(b"a launcher", "launcher.so")
print(json.dumps([sorted(compiled), failed, known and Path(known).read_text()]))
"""
ALL = ["double", "fill", "fill"]


@pytest.fixture
def place(tmp_path):
    """Where a machine has the sources; one that is deeper is another machine."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "kernels_here.py").write_text(KERNELS)
        (folder / "script.py").write_text(SCRIPT)
        return folder

    return make


@pytest.fixture
def compile_in(loaded):
    """Compile three kernels on a machine of its own, which has kernels; what had to be compiled."""
    pytest.importorskip("triton", reason="Triton has no build for this platform")

    def start(place: Path, kernels: Path):
        cache = str(place / "cache")
        return loaded.start(str(kernels), script=place / "script.py", TRITON_CACHE_DIR=cache)

    return start


def told(process) -> list:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return json.loads(out)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.zip")}


@pytest.mark.slow
def test_what_travelled_is_compiled_nowhere_else_and_says_nothing_of_where_it_came_from(
    place, compile_in, tmp_path
):
    here, there, third = place("here"), place("a/folder/deeper"), place("third")
    assert told(compile_in(here, here / "kernels")) == [ALL, [], None]
    made = files(here / "kernels")
    assert len(made) == 4
    (here / "kernels").rename(there / "kernels")
    shutil.rmtree(here)
    assert told(compile_in(there, there / "kernels")) == [[], [], "a launcher"]
    assert files(there / "kernels") == made
    # another machine that compiles the same itself gets the same bytes
    assert told(compile_in(third, third / "kernels")) == [ALL, [], None]
    assert files(third / "kernels") == made
    assert not [name for name, data in made.items() if str(tmp_path).encode() in data]


@pytest.mark.slow
def test_what_is_damaged_cut_short_or_missing_is_compiled_again(place, compile_in):
    here = place("here")
    told(compile_in(here, here / "kernels"))
    made = files(here / "kernels")
    flipped, cut = sorted((here / "kernels").rglob("*.zip"))[-2:]
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    cut.write_bytes(cut.read_bytes()[:100])
    # what Triton's own folder has beside is not trusted, and mended
    for path in (here / "cache").rglob("*.cubin"):
        path.write_bytes(b"half")
    compiled, failed, _ = told(compile_in(here, here / "kernels"))
    assert (1 <= len(compiled) <= 2, failed) == (True, [])
    assert files(here / "kernels") == made
    assert all(path.read_bytes()[:4] == b"\x7fELF" for path in (here / "cache").rglob("*.cubin"))
    assert told(compile_in(here, here / "kernels")) == [[], [], "a launcher"]


@pytest.mark.slow
def test_two_that_compile_into_one_folder_at_once_leave_it_whole(place, compile_in):
    one, other = place("one"), place("other")
    kernels = one / "kernels"
    both = [compile_in(one, kernels), compile_in(other, kernels)]
    assert [told(process)[1] for process in both] == [[], []]
    assert told(compile_in(place("third"), kernels))[0] == []
    assert len(files(kernels)) == 4


@pytest.mark.slow
def test_where_the_folder_cannot_be_written_to_kernels_are_kept_beside_tritons_own(
    place, compile_in
):
    here = place("here")
    (here / "kernels").write_text("not a folder, so that root can't write to it either")
    assert told(compile_in(here, here / "kernels"))[0] == ALL
    assert told(compile_in(here, here / "kernels"))[0] == []


def test_whoever_told_triton_of_another_cache_keeps_it(monkeypatch, tmp_path):
    for name in (carry_module.FOLDER, carry_module.MANAGER, carry_module.LINES):
        monkeypatch.delenv(name, raising=False)
    assert carried() is None
    with monkeypatch.context() as patch:
        patch.setenv(carry_module.MANAGER, "theirs:Cache")
        carry(tmp_path)
        assert carried() is None
    monkeypatch.setenv(carry_module.LINES, "0")  # to profile by the lines of the sources
    monkeypatch.setenv(carry_module.FOLDER, "")
    monkeypatch.setenv(carry_module.MANAGER, carry_module.OURS)
    monkeypatch.chdir(tmp_path)
    carry(Path("kernels"))
    assert carried() == tmp_path / "kernels"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"kernels": "kernels"}', "kernels"),
        ('{"kernels": "/a/home/kernels"}', "/a/home/kernels"),
        ("{}", None),
        ("[]", None),
        ('{"kernels": 3}', None),
        ("no JSON", None),
    ],
)
def test_a_jobs_file_names_the_folder(text, found, tmp_path):
    jobs = tmp_path / "jobs.json"
    jobs.write_text(text)
    assert named_in(jobs) == (found and tmp_path / found)
    assert named_in(tmp_path / "none.json") is None


ELSEWHERE = """
import torch
from fpt_model.engines.compile_for import _WithoutProducts, kind_of
from fpt_model.engines.gpu.aim import aim, capability

cpu, seen = torch.device("cpu"), []
for name in ("", "sm_80", "sm_90", "sm_120"):
    if name:
        aim(*kind_of(name))
    seen.append(list(capability(cpu)))
a, b = torch.ones(2, 3, 4), torch.ones(2, 4, 5)
with _WithoutProducts():
    kept = torch.full((2, 3, 5), 7.0)
    torch.matmul(a, b, out=kept)
    kept.baddbmm_(a, b)
    sums = (a @ b).sum().item(), kept.sum().item(), (a + 1).sum().item()
    print(seen, *sums, list((a[0] @ b[0]).shape))
"""


def test_a_dry_run_elsewhere_knows_the_gpu_and_leaves_products_out(loaded, tmp_path):
    pytest.importorskip("triton", reason="Triton has no build for this platform")
    (tmp_path / "script.py").write_text(ELSEWHERE)
    out, errors = loaded.start(script=tmp_path / "script.py").communicate()
    assert errors == ""
    assert out == "[[0, 0], [8, 0], [9, 0], [12, 0]] 0.0 210.0 48.0 [3, 5]\n"


@pytest.mark.parametrize("name", ["sm_75", "h100", "sm_", "SM_90", "sm_90a", "cuda"])
def test_a_gpu_that_kernels_are_not_for_is_refused(name):
    with pytest.raises(ModelError, match="No such GPU to compile for"):
        kind_of(name)


def test_launchers_are_linked_to_an_empty_library_only_meanwhile(monkeypatch):
    monkeypatch.delenv("TRITON_LIBCUDA_PATH", raising=False)
    if not shutil.which("gcc") or not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        pytest.skip("no C compiler, or no headers of Python")
    with launchers_without_a_gpu():
        assert Path(os.environ["TRITON_LIBCUDA_PATH"], "libcuda.so.1").is_file()
        assert Path(os.environ[STUB]).is_file()
    assert not {"TRITON_LIBCUDA_PATH", STUB} & os.environ.keys()
    monkeypatch.setenv("TRITON_LIBCUDA_PATH", "/theirs")
    with launchers_without_a_gpu():
        assert os.environ["TRITON_LIBCUDA_PATH"] == "/theirs"
        assert STUB not in os.environ

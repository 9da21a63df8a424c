"""Files of compiled kernels: whole or not there, under names that say what they are."""

import hashlib
import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fpt_model.files import kernels
from fpt_model.files.kernels import Kept, Swept, builds, copy_whole, read, sweep, whole, write

BUILD = "triton-3.6.0-cpython-311-linux-x86_64"
FILL = Kept("KEYOFFILL", "fill.json", {"fill.json": b'{"shared": 0}', "fill.cubin": b"\x7fELF" * 9})


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "kernels" / BUILD


def test_what_was_written_is_read_by_key_and_name_alone(folder):
    path = write(folder, FILL)
    assert read(folder, "KEYOFFILL", "fill.json") == FILL
    assert read(folder, "KEYOFFILL", "other.json") is None
    assert read(folder, "ANOTHER", "fill.json") is None
    place, _, sha256 = path.stem.partition("-")
    assert place == hashlib.sha256(b"KEYOFFILL\0fill.json").hexdigest()[:32]
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert zipfile.ZipFile(path).namelist() == ["about.json", "fill.cubin", "fill.json"]


def test_the_same_contents_are_one_file_whenever_and_in_whatever_order_they_are_written(folder):
    path = write(folder, FILL)
    backwards = dict(reversed(FILL.files.items()))
    assert write(folder, FILL._replace(files=backwards)) == path
    assert list(folder.iterdir()) == [path]


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans())
def test_whatever_byte_is_changed_or_wherever_it_is_cut_it_is_not_read(
    tmp_path_factory, place, flip, cut
):
    folder = tmp_path_factory.mktemp("kernels") / BUILD
    path = write(folder, FILL)
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    if cut:
        del data[at:]
    else:
        data[at] ^= flip
    path.write_bytes(data)
    assert read(folder, "KEYOFFILL", "fill.json") is None
    assert write(folder, FILL) == path  # which mends it
    assert read(folder, "KEYOFFILL", "fill.json") == FILL


def forged(folder: Path, members: dict[str, bytes], place: str = "", kind=zipfile.ZIP_STORED):
    """A file whose name has the hash of its bytes, whatever they are."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    folder.mkdir(parents=True, exist_ok=True)
    place = place or hashlib.sha256(b"K\0a.json").hexdigest()[:32]
    path = folder / f"{place}-{hashlib.sha256(sink.getvalue()).hexdigest()}.zip"
    path.write_bytes(sink.getvalue())
    return path


ABOUT = {"about.json": b'{"key": "K", "name": "a.json"}', "a.json": b"{}"}


def test_a_file_that_says_itself_what_it_is_is_taken(folder):
    assert whole(forged(folder, ABOUT)) == Kept("K", "a.json", {"a.json": b"{}"})


@pytest.mark.parametrize(
    ("members", "others"),
    [
        (ABOUT | {"../outside.cubin": b""}, {}),
        (ABOUT | {"/etc/passwd": b""}, {}),
        ({"about.json": ABOUT["about.json"]}, {}),
        ({"a.json": b"{}"}, {}),
        (ABOUT | {"about.json": b"no JSON"}, {}),
        (ABOUT | {"about.json": b"[]"}, {}),
        (ABOUT | {"about.json": b'{"key": 1, "name": "a.json"}'}, {}),
        (ABOUT, {"place": "0" * 32}),
        (ABOUT, {"kind": zipfile.ZIP_DEFLATED}),
    ],
)
def test_what_is_whole_and_yet_not_what_its_name_says_is_not_taken(folder, members, others):
    path = forged(folder, members, **others)
    assert whole(path) is None
    assert sweep(folder.parent) == Swept(1, 0)
    assert not path.exists()


def test_a_link_is_not_taken_nor_followed(folder, tmp_path):
    path = write(tmp_path / "elsewhere", FILL)
    folder.mkdir(parents=True)
    (folder / path.name).symlink_to(path)
    (folder.parent / f"{BUILD}.2").symlink_to(path.parent)
    assert read(folder, "KEYOFFILL", "fill.json") is None
    assert builds(folder.parent) == [BUILD]
    sweep(folder.parent)
    assert path.exists()


def test_a_file_that_is_too_large_is_not_read(folder, monkeypatch):
    path = write(folder, FILL)
    monkeypatch.setattr(kernels, "LARGEST", path.stat().st_size - 1)
    assert whole(path) is None


def test_only_what_is_whole_is_copied(folder, tmp_path):
    write(folder, FILL)
    damaged = write(folder, FILL._replace(key="OTHER"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    (folder / "notes.txt").write_text("mine")
    target = tmp_path / "there"
    assert copy_whole(folder.parent, target) == 1
    assert [read(target / BUILD, key, "fill.json") for key in ("KEYOFFILL", "OTHER")] == [
        FILL,
        None,
    ]
    assert len(list(target.rglob("*.*"))) == 2  # the build's folder and the file
    assert copy_whole(tmp_path / "nothing", target) == 0


def test_a_folder_is_swept_of_what_is_damaged_left_over_or_was_not_asked_for_the_longest(folder):
    paths = [write(folder, FILL._replace(key=f"KEY{number}")) for number in range(4)]
    for number, path in enumerate(paths):
        os.utime(path, (1000 + number, 1000 + number))
    assert read(folder, "KEY0", "fill.json")  # which makes it the newest
    paths[3].write_bytes(b"half")
    left, being_written = folder / "a.partial", folder / "b.partial"
    for path in (left, being_written, folder / "notes.txt"):
        path.touch()
    os.utime(left, (time.time() - 90_000,) * 2)
    size = paths[0].stat().st_size
    assert sweep(folder.parent, room=2 * size) == Swept(damaged=1, old=1)
    there = {paths[0], paths[2], being_written, folder / "notes.txt"}
    assert set(folder.iterdir()) == there
    assert sweep(folder.parent, room=2 * size) == Swept(0, 0)
    assert sweep(folder.parent / "nothing") == Swept(0, 0)


WRITER = """
import sys
from pathlib import Path
from fpt_model.files.kernels import Kept, read, write
folder, seen = Path(sys.argv[1]), 0
for turn in range(200):
    kept = Kept(f"KEY{turn % 5}", "k.json", {"k.json": b"{}", "k.cubin": bytes(50_000)})
    write(folder, kept)
    assert read(folder, kept.key, kept.name) == kept
"""


def test_two_that_write_and_read_at_once_do_not_disturb_each_other(folder):
    command = [sys.executable, "-c", WRITER, str(folder)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(one.communicate()[1], one.returncode) for one in both] == [("", 0)] * 2
    assert len(list(folder.iterdir())) == 5

"""Opening an archive that nobody vouches for: the literal file, whole and safe, or a refusal."""

import hashlib
import os
import random
import struct
import zipfile
from pathlib import Path

import pytest

from warehouse.archive import checksums, open_archive
from warehouse.datasets import find
from warehouse.errors import RefusedError

ML_1M = find("ml-1m")
RATINGS = "ml-1m/ratings.dat"


def test_a_good_archive_is_copied_hashed_and_unpacked(write_zip, files, take, tmp_path):
    source = write_zip(files)
    assert take(source) == files
    data = source.read_bytes()
    assert (tmp_path / "private" / "archive.zip").read_bytes() == data
    expected = hashlib.sha256(data).hexdigest(), hashlib.md5(data).hexdigest()
    assert checksums(source) == expected
    with open_archive(ML_1M, source, tmp_path) as archive:
        assert (archive.sha256, archive.md5) == expected


def test_a_stored_archive_with_folders_and_a_comment_is_taken(write_zip, files, take):
    def edit(archive):
        archive.mkdir("ml-1m/extra")
        archive.writestr("ml-1m/README", "read me")
        archive.comment = b"made by hand"

    assert take(write_zip(files, method=zipfile.ZIP_STORED, edit=edit)) == files


def test_what_is_parsed_is_what_was_hashed_though_the_source_is_replaced(
    write_zip, files, tmp_path
):
    source = write_zip(files)
    with open_archive(ML_1M, source, tmp_path) as archive:
        source.write_bytes(b"something else")
        with archive.member(RATINGS) as file:
            assert file.read() == files[RATINGS]


@pytest.mark.parametrize("name", ["so*rce?.zip", "[s]ource.zip", "a;'\"b.zip", "-rf", "ö🎬.zip"])
def test_a_strange_name_is_the_name_of_that_file_alone(write_zip, files, take, tmp_path, name):
    strange = write_zip(files).rename(tmp_path / name)
    write_zip({"ml-1m/other": b""})  # which a pattern would find
    assert take(strange) == files


def test_a_link_to_an_archive_is_followed(write_zip, files, take, tmp_path):
    link = tmp_path / "link.zip"
    link.symlink_to(write_zip(files))
    assert take(link) == files


def folder(path):
    path.mkdir()


def fifo(path):
    os.mkfifo(path)


def endless_device(path):
    path.symlink_to("/dev/zero")


def link_to_itself(path):
    path.symlink_to(path)


def link_to_nothing(path):
    path.symlink_to(path.with_name("nothing"))


def nothing(path):
    pass


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("make", "why"), [
    (folder, "is not a file"),
    (fifo, "is not a file"),
    (endless_device, "is not a file"),
    (link_to_itself, "can't be read"),
    (link_to_nothing, "can't be read: got No such file"),
    (nothing, "can't be read: got No such file"),
])  # fmt: skip
def test_what_is_no_file_is_refused_at_once(take, tmp_path, make, why):
    source = tmp_path / "source.zip"
    make(source)
    with pytest.raises(RefusedError, match=why):
        take(source)
    with pytest.raises(RefusedError, match=why):
        checksums(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_refused(write_zip, files, take):
    source = write_zip(files)
    source.chmod(0)
    with pytest.raises(RefusedError, match="Permission denied"):
        take(source)


def test_refused_sources_leave_no_file_open(take, tmp_path):
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(20):
        with pytest.raises(RefusedError):
            take(tmp_path)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_an_archive_past_the_limit_is_refused_before_it_is_copied(take, tmp_path):
    source = tmp_path / "huge.zip"
    with source.open("wb") as file:
        file.truncate((4 << 30) + 1)  # a hole: no disk is used
    with pytest.raises(RefusedError, match="too large: got 4,294,967,297 bytes"):
        take(source)
    assert not (tmp_path / "private" / "archive.zip").exists()


@pytest.mark.parametrize("data", [b"", b"PK", b"1::7::5::960000000\n" * 100, b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_archive_is_refused_with_its_checksum_and_the_expected(take, tmp_path, data):
    source = tmp_path / "source.zip"
    source.write_bytes(data)
    with pytest.raises(RefusedError, match="not a whole zip archive") as caught:
        take(source)
    assert hashlib.sha256(data).hexdigest() in str(caught.value)
    assert f"5,917,549 bytes, MD5 {ML_1M.md5}" in str(caught.value)


def test_an_archive_cut_anywhere_is_refused(write_zip, files, take):
    source = write_zip(files)
    data = source.read_bytes()
    for length in range(0, len(data), 7):
        source.write_bytes(data[:length])
        with pytest.raises(RefusedError, match="not a whole zip archive"):
            take(source)


def test_damaged_bytes_are_refused_or_change_nothing(write_zip, files, take):
    """Any byte, at the least: the packed rows, the headers and the directory with its offsets."""
    source = write_zip(files)
    data = source.read_bytes()
    refused = 0
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= random.Random(place).randrange(1, 256)
        source.write_bytes(damaged)
        try:
            assert take(source) == files  # a date, say, or an attribute
        except RefusedError:
            refused += 1
    assert refused > len(data) / 2


def test_damage_names_the_file_and_what_to_do(write_zip, files, take):
    source = write_zip(files, method=zipfile.ZIP_STORED)
    source.write_bytes(source.read_bytes().replace(b"1::7::5", b"1::7::4", 1))
    with pytest.raises(RefusedError, match=r"ratings\.dat is damaged in source\.zip: got Bad CRC"):
        take(source)


def test_a_size_that_lies_is_refused(write_zip, files, take):
    """The directory says fewer bytes than there are: more must never be unpacked."""
    source = write_zip(files)
    real, false = (struct.pack("<L", size) for size in (len(files[RATINGS]), 38))
    source.write_bytes(source.read_bytes().replace(real, false))
    with pytest.raises(RefusedError, match=r"ratings\.dat is damaged"):
        take(source)

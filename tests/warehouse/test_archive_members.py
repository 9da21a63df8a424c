"""What is inside an archive: only the files of its data set, and nothing that does harm."""

import stat
import zipfile
from dataclasses import replace

import pytest

from warehouse import archive as archive_module
from warehouse.archive import checksums
from warehouse.datasets import find
from warehouse.errors import RefusedError

ML_1M = find("ml-1m")
RATINGS = "ml-1m/ratings.dat"
FILES = ("ml-1m/ratings.dat", "ml-1m/movies.dat", "ml-1m/users.dat")


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_named(write_zip, files, take, missing):
    others = {name: data for name, data in files.items() if name != missing}
    with pytest.raises(RefusedError, match=f"got ml-1m/.*, expected {missing}"):
        take(write_zip(others))


@pytest.mark.parametrize("prefix", ["", "ml-10m/", "data/ml-1m/", "ML-1M/"])
def test_files_under_another_folder_are_another_data_set(write_zip, files, take, prefix):
    files = {prefix + name.removeprefix("ml-1m/"): data for name, data in files.items()}
    with pytest.raises(RefusedError, match=r"not an archive of ml-1m: got .*ratings\.dat"):
        take(write_zip(files))


def test_names_of_another_archive_are_shown_harmless(write_zip, files, take):
    with pytest.raises(RefusedError, match=r"got \?\[31mred\?, x{200}, expected") as caught:
        take(write_zip({"\x1b[31mred\x9b": b"", "x" * 60_000: b""}))
    assert str(caught.value).isprintable()


def test_an_archive_without_files_is_refused(write_zip, files, take):
    with pytest.raises(RefusedError, match="got no files"):
        take(write_zip({}))


@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/evil", "ml-1m/../../evil", "..\\evil", "\\evil", "C:\\evil", "c:/evil"],
)
def test_a_name_that_points_out_of_the_folder_is_refused(write_zip, files, take, tmp_path, name):
    with pytest.raises(RefusedError, match="points out of its folder"):
        take(write_zip(files | {name: b"x"}))
    assert not list(tmp_path.rglob("*evil"))


def link_within(archive):
    link = zipfile.ZipInfo("ml-1m/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(link, "/etc/passwd")


def second_ratings(archive):
    archive.writestr(RATINGS, "1::1::1::1\n")


def bomb(archive):
    archive.writestr("ml-1m/bomb", bytes(8 << 20))


def second_by_another_name(archive):
    archive.writestr("ml-1m\\ratings.dat", "1::1::1::1\n")


@pytest.mark.parametrize(("edit", "why"), [
    (link_within, "'ml-1m/link': is a link"),
    (second_ratings, "stands there twice"),
    (bomb, "packs 8,388,608 bytes into 8,"),
    (second_by_another_name, r"'ml-1m\\\\ratings.dat': stands there twice"),
])  # fmt: skip
def test_an_unsafe_member_is_refused(write_zip, files, take, edit, why):
    with pytest.raises(RefusedError, match=f"source.zip is not safe to open: got.*{why}"):
        take(write_zip(files, edit=edit))


def test_a_file_packed_by_another_method_is_refused(write_zip, files, take):
    def edit(archive):
        archive.writestr(RATINGS, files[RATINGS], compress_type=zipfile.ZIP_LZMA)

    others = {name: data for name, data in files.items() if name != RATINGS}
    with pytest.raises(RefusedError, match="is packed by method 14"):
        take(write_zip(others, edit=edit))


@pytest.mark.parametrize("spelt", ["ml-1m\\{}", "./ml-1m/{}", "ml-1m//{}", ".\\ml-1m\\{}"])
def test_a_name_is_read_however_its_folders_are_separated(write_zip, files, take, spelt):
    """Some programs on Windows write backslashes, for folders too."""
    named = {spelt.format(name.removeprefix("ml-1m/")): data for name, data in files.items()}
    folder = spelt.format("")
    assert take(write_zip({folder: b""} | named)) == files


def test_what_is_not_read_may_stand_there_twice(write_zip, files, take):
    def edit(archive):
        for _ in range(2):
            archive.writestr("ml-1m/", "")
            archive.writestr("ml-1m/README", "read me")
            archive.writestr("ml-1m/ratings.dat/", "")
            archive.writestr("ml-1m/other", "x", compress_type=zipfile.ZIP_LZMA)

    assert take(write_zip(files, edit=edit)) == files


def test_a_folder_by_the_name_of_a_file_is_none(write_zip, files, take):
    others = {name: data for name, data in files.items() if name != RATINGS}
    with pytest.raises(RefusedError, match=f"not an archive of ml-1m: .* expected {RATINGS}"):
        take(write_zip(others | {f"{RATINGS}/": b""}))


def test_an_encrypted_member_is_refused(write_zip, files, take):
    source = write_zip(files)
    data = bytearray(source.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flags in the directory
    source.write_bytes(data)
    with pytest.raises(RefusedError, match="is encrypted"):
        take(source)


def test_a_member_past_the_limit_is_refused(write_zip, files, take, monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_MEMBER_BYTES", len(files[RATINGS]) - 1)
    with pytest.raises(RefusedError, match="is 1,520 bytes when unpacked"):
        take(write_zip(files))


@pytest.mark.parametrize(("sums", "verified"), [
    ({"sha256": "right"}, True),
    ({"sha256": None, "md5": "right"}, True),
    ({"sha256": "wrong", "md5": "right"}, False),  # the stronger one decides
    ({"sha256": None, "md5": "wrong"}, False),
    ({"sha256": None, "md5": None}, False),
])  # fmt: skip
def test_only_the_publishers_bytes_are_verified(write_zip, files, land_archive, sums, verified):
    source = write_zip(files)
    right = dict(zip(("sha256", "md5"), checksums(source), strict=True))
    known = {name: right[name] if value == "right" else value for name, value in sums.items()}
    load = land_archive(replace(ML_1M, **known), source).load
    assert load.verified is verified
    assert load.source_sha256 == right["sha256"]

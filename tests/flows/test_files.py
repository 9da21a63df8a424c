"""Files that people name: taken for one only where a name can be one, and tried before the work."""

import os
from pathlib import Path

import pytest

from flows.files import existing_file, history_words, refuse_unmakeable, refuse_unwritable
from warehouse.archive import open_source
from warehouse.errors import RefusedError
from warehouse.home import Home

LONG = "x" * 300  # more than a file system's 255
NO_PATHS = [LONG, "a\0b", ",".join(map(str, range(1000))), "/" + "y/" * 3000]


@pytest.mark.parametrize("text", NO_PATHS)
def test_what_can_be_no_path_is_no_file(text):
    assert existing_file(text) is None
    with pytest.raises(RefusedError, match="can't be read"), open_source(Path(text)):
        pass
    with pytest.raises(RefusedError, match="can't be written"):
        refuse_unwritable(Path(text, text))


@pytest.mark.parametrize("text", [LONG, "a\0b", "~nobody-of-this-name/x"])
@pytest.mark.parametrize("find", [Home.at, Home.existing])
def test_a_home_that_no_path_can_be_is_refused(tmp_path, monkeypatch, text, find):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match="This home can't be used: got "):
        find(text)
    assert not list(tmp_path.iterdir())


def test_a_home_in_place_of_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(RefusedError, match=r"This home can.t be used: got .*exists"):
        Home.at(file)


def test_looking_for_a_home_makes_none(tmp_path):
    assert Home.existing(tmp_path / "home").root == tmp_path / "home"
    assert not list(tmp_path.iterdir())


def test_a_history_is_numbers_titles_or_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    numbers = [str(number) for number in range(1, 121)]
    assert history_words(",".join(numbers)) == numbers
    assert history_words(" 1, 50,,181 ") == ["1", "50", "181"]
    assert history_words(f"{LONG},Seven (1995)") == [LONG, "Seven (1995)"]
    Path("7").write_text("of no interest")
    assert history_words("7") == ["7"]
    Path("seen.txt").write_text("\ufeffSeven (1995)\r\n\r\n  Alien, the (1979) \n", "utf-8")
    assert history_words("seen.txt") == ["Seven (1995)", "Alien, the (1979)"]
    assert history_words(str(tmp_path)) == [str(tmp_path)]
    os.mkfifo("pipe")
    assert history_words("pipe") == ["pipe"]  # and no waiting for who may write into it


def test_a_file_that_is_no_history_is_refused(tmp_path):
    path = tmp_path / "seen.txt"
    path.write_bytes("Café".encode("latin-1"))
    with pytest.raises(RefusedError, match="no text in UTF-8"):
        history_words(str(path))
    with path.open("wb") as file:
        file.truncate(11 << 20)
    with pytest.raises(RefusedError, match="no list of titles: got 11,534,336 bytes"):
        history_words(str(path))


def test_an_output_is_tried_before_the_work_and_nothing_stays(tmp_path):
    refuse_unwritable(None)
    refuse_unwritable(tmp_path / "report.html")
    refuse_unmakeable(tmp_path / "new" / "and" / "deep")
    assert not list(tmp_path.iterdir())
    for output, got in ((tmp_path, "a folder"), (tmp_path / "no" / "x", f"no folder {tmp_path}")):
        with pytest.raises(RefusedError, match=f"can't be written: got {got}"):
            refuse_unwritable(output)
    (tmp_path / "file").touch()
    with pytest.raises(RefusedError, match=f"got {tmp_path / 'file'} is a file"):
        refuse_unmakeable(tmp_path / "file" / "x")
    with pytest.raises(RefusedError, match="got no folder"):
        refuse_unwritable(tmp_path / "file" / "x")


@pytest.mark.parametrize(
    "command",
    [
        ("recommend", "--user", 1, "--output", "{missing}/top.parquet"),
        ("recommend", "--history", "1,2", "--output", "{missing}/top.parquet"),
        ("report", "--output", "{missing}/report.html"),
        ("export", "{file}/folder"),
        ("plan", "--dataset", "ml-1m", "--source", LONG),
    ],
)
def test_a_command_says_so_in_one_line(empty, fpt, tmp_path, command):
    file = tmp_path / "file"
    file.touch()
    words = [str(word).format(missing=tmp_path / "missing", file=file) for word in command]
    answer = fpt(*words, home=empty)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert "can't be" in answer.err
    assert "traceback" not in answer.err


@pytest.mark.parametrize("command", [("sql", "SELECT 1"), ("plan",)])
def test_a_home_that_cannot_be_is_one_line(fpt, command):
    answer = fpt(*command, home=Path("/tmp", LONG))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: This home can't be used: got /tmp/xxx")
    assert answer.err.count("\n") == 1


@pytest.mark.slow
def test_a_history_of_120_numbers_is_answered(finished, fpt):
    numbers = ",".join(map(str, range(1, 121)))
    answer = fpt("recommend", "--history", numbers, "--top", 5, "--json", home=finished[0])
    assert answer.code == 0, answer.err
    assert {row["movie"] for row in answer.rows} <= set(range(121, 141))
    assert len(answer.rows) == 5

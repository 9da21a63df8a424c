"""`fpt describe` by the real command line, on files that are unlike."""

import json
import os
import random
import sqlite3
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

import pytest

FPT = Path(sys.executable).parent / "fpt"


def typed(*words):
    environment = os.environ | {"COLUMNS": "160"}
    return subprocess.run(
        [FPT, "describe", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def chance():
    return random.Random(7)


def test_a_text_like_those_of_movielens(tmp_path):
    lines = [f"{n % 7},{n % 50},{1 + n % 5}.0,{964982703 + n}" for n in range(300)]
    path = tmp_path / "ratings.csv"
    path.write_text("\n".join(["userId,movieId,rating,timestamp", *lines]) + "\n")
    films = tmp_path / "movies.csv"
    films.write_text("movieId,title,genres\n" + "".join(f"{n},Film {n},A|B\n" for n in range(50)))
    answer = typed(path, "--items", films, "--name", "films", "--write")
    assert answer.returncode == 0, answer.stderr
    shown = " ".join(answer.stdout.split())
    for words in ("rows taken 300", "first day (UTC) 2000-07-30", "ratings 1 to 5", "Written: "):
        assert words in shown
    said = tomllib.loads((tmp_path / "films.toml").read_text())
    assert said == {
        "user": "userId", "item": "movieId", "time": "timestamp", "time_unit": "seconds",
        "repeats": "first",
        "rating": {"column": "rating", "low": 1, "high": 5, "step": 1},
        "items": {
            "file": "movies.csv", "item": "movieId", "title": "title", "categories": "genres",
            "category_separator": "|",
        },
    }  # fmt: skip
    again = typed(path, "--name", "films", "--write")
    assert again.returncode == 2
    assert "films.toml is there already" in again.stderr.replace("\n", "")


def test_dates_with_zones_and_ids_of_text(tmp_path, chance):
    path = tmp_path / "orders.csv"
    zones = ["Z", "+02:00", "-0500"]
    users = [uuid.UUID(int=chance.getrandbits(128)) for _ in range(90)]
    times = [f"2024-03-{n % 28 + 1:02}T12:00:00{zones[n % 3]}" for n in range(90)]
    rows = [f"{users[n]},SKU-{n % 9},{times[n]}" for n in range(90)]
    path.write_text("\n".join(["customer,product,occurred_at", *rows]) + "\n")
    answer = typed(path, "--json")
    assert answer.returncode == 0, answer.stderr
    seen = json.loads(answer.stdout)
    assert (seen["users"], seen["items"], seen["rows_refused"]) == (90, 9, 0)
    assert (seen["first_day"], seen["last_day"]) == ("2024-03-01", "2024-03-28")
    assert tomllib.loads(seen["toml"])["time_format"] == "ISO 8601"
    assert (seen["unclear"], seen["notes"], seen["written"]) == ([], [], False)
    assert not (tmp_path / "orders.toml").exists()


def test_numbers_without_names_are_left_to_fill_in(tmp_path, chance):
    path = tmp_path / "log.csv"
    rows = [
        f"{2**62 + chance.getrandbits(60)},{2**61 + n % 9},{1_700_000_000_000 + n}"
        for n in range(90)
    ]
    path.write_text("\n".join(rows) + "\n")
    answer = typed(path)
    assert answer.returncode == 0, answer.stderr
    assert "Not plain, to be filled in: `user`: column1 or column2." in answer.stdout
    assert 'time = "column3"\ntime_unit = "milliseconds"' in answer.stdout
    assert "column3 is taken for the time by its values, not by its name" in answer.stdout
    assert '# user = "…"' in answer.stdout


def test_a_table_of_a_sqlite_file(tmp_path):
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE sales (member TEXT, article INTEGER, created_at TEXT)")
        rows = [(f"m{n % 5}", n % 3, f"2024-01-{n % 9 + 1:02} 08:00:00") for n in range(30)]
        file.executemany("INSERT INTO sales VALUES (?, ?, ?)", rows)
        file.execute("CREATE TABLE other (x)")
    file.close()
    refused = typed(path, "--json")
    assert refused.returncode == 2
    said = json.loads(refused.stderr.splitlines()[-1])
    assert said["got"] == "other, sales"
    answer = typed(path, "--table", "sales", "--json")
    assert answer.returncode == 0, answer.stderr
    seen = json.loads(answer.stdout)
    assert (seen["kind"], seen["rows_taken"], seen["rows_that_repeat"]) == ("SQLite", 30, "50 %")
    found = tomllib.loads(seen["toml"])
    assert (found["table"], found["user"], found["item"]) == ("sales", "member", "article")
    assert found["zone"] == "UTC"
    assert seen["notes"] == ["created_at says no zone: UTC is taken, put yours as `zone`"]


def test_what_is_no_file_is_refused(tmp_path):
    answer = typed(tmp_path / "none.parquet")
    assert answer.returncode == 2
    assert "No such file" in answer.stderr

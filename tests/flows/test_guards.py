"""Data that looks like a leak, or says nothing of a model, by the command line."""

import zipfile
from pathlib import Path

import pytest

DAY = 86_400


def write(path: Path, histories: dict[int, list[int]]) -> Path:
    """An archive of ML-1M's layout: each user's items in order, a day apart."""
    ratings = [
        f"{user}::{item}::{1 + step % 5}::{10**9 + 500 * user + DAY * step}"
        for user, items in histories.items()
        for step, item in enumerate(items)
    ]
    films = sorted({item for items in histories.values() for item in items})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ml-1m/ratings.dat", "\n".join(ratings) + "\n")
        movies = "".join(f"{film}::Film {film} (1999)::Drama\n" for film in films)
        archive.writestr("ml-1m/movies.dat", movies)
        users = "".join(f"{user}::F::25::1::00000\n" for user in histories)
        archive.writestr("ml-1m/users.dat", users)
    return path


@pytest.fixture
def words():
    return lambda archive: (
        *("run", "--dataset", "ml-1m", "--source", archive, "--retention", "cold-start"),
        *("--model", "sasrec", "--json"),
    )


@pytest.mark.slow
def test_a_predictable_course_is_published_with_a_mark_and_may_be_accepted(
    fpt, lasting, words, tmp_path
):
    """Sixty pupils take eight of forty lessons, each beginning somewhere, in the same order."""
    course = {user: [(user + n) % 40 + 1 for n in range(8)] for user in range(1, 61)}
    archive, home = write(tmp_path / "course.zip", course), tmp_path / "home"
    first = fpt(*words(archive), home=home, told=lasting)
    assert first.code == 0, first.err
    popular, row = first.rows
    assert row["recall_10"] == 1
    assert row["warnings"] == "too-good"
    assert "`--accept too-good` says that it is right" in " ".join(first.err.split())
    again = fpt(*words(archive), "--accept", "too-good", home=home, told=lasting)
    assert again.code == 0, again.err
    assert "accepted of what was published before: too-good" in again.err
    assert again.rows == [popular, row | {"warnings": "too-good (accepted)"}]
    board = fpt("sql", "leaderboard", "--format", "json", home=home)
    assert {one["model"]: one["warnings"] for one in board.rows} == {
        "SASRec": "too-good (accepted)",
        "popularity": None,
    }
    wrong = fpt(*words(archive), "--accept", "leak", home=home)
    assert wrong.code == 2
    assert "too-good" in wrong.err


@pytest.mark.slow
def test_few_candidates_are_said_beside_what_holds_by_itself(fpt, lasting, words, tmp_path):
    """Sixty users have six of twelve films each: the target is one of seven, whatever the model."""
    few = {user: [(user * 5 + n * (1 + user % 3)) % 12 + 1 for n in range(6)] for user in range(60)}
    few = {user + 1: list(dict.fromkeys(items)) for user, items in few.items()}
    archive, home = write(tmp_path / "few.zip", few), tmp_path / "home"
    answer = fpt(*words(archive), "--accept", "few-candidates", home=home, told=lasting)
    assert answer.code == 0, answer.err
    _, row = answer.rows
    assert row["recall_10"] == row["full_recall_10"] == 1
    assert "few-candidates (accepted)" in row["warnings"]
    question = "SELECT DISTINCT k, least_recall FROM mart.leaderboard ORDER BY k"
    rows = fpt("sql", question, "--format", "json", home=home).rows
    assert [(one["k"], one["least_recall"]) for one in rows][2:] == [(10, 1), (20, 1)]

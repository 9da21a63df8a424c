"""Whom to ask about what: known users, users that a snapshot left out, somebody new."""

import hashlib
from datetime import UTC, datetime

import polars as pl
import pytest

from warehouse.cold_start import DAY, written_history
from warehouse.errors import RefusedError
from warehouse.explanation import explanation
from warehouse.questions import ask
from warehouse.recommending import (
    history_of,
    publish_recommendations,
    request,
    sample_user,
    serving_run,
    write_request,
)
from warehouse.records import Choice
from warehouse.saved_queries import sql_of

ITEMS = pl.DataFrame(
    {"item_id": [1, 2, 3], "raw_item_id": [10, 20, 30], "title": ["Seven (1995)", "É (2000)", None]}
).with_columns(item_key=pl.lit(None, pl.String))
WEIGHTS_SHA256 = hashlib.sha256(b"weights").hexdigest()


@pytest.fixture
def five_core(publish_rows, prepare_load):
    """Users 11 to 16 × items 1 to 6, all taken; user 99 took item 3 twice, item 1 and item 50."""
    rows = [(user, item, 100 * item) for user in range(11, 17) for item in range(1, 7)]
    rows += [(99, 3, 86_400, 3.5), (99, 1, 86_410, 5.0), (99, 50, 86_420), (99, 3, 86_500, 1.0)]
    rows += [(98, 51, 5)]
    publish_rows("load", rows)
    return prepare_load("load", "5-core")


@pytest.fixture
def trained(home, five_core, make_run):
    """A published training and its weights."""
    from warehouse.publishing import publish_runs

    def train(run_id: str, ranks: float, **changes):
        values = {"checkpoint_sha256": WEIGHTS_SHA256} | changes
        publish_runs(home, [make_run(run_id, five_core.snapshot_id, [ranks] * 6, **values)])
        (home.run(run_id) / "best.safetensors").write_bytes(b"weights")

    return train


def test_the_best_on_validation_is_asked_unless_one_is_named(home, trained):
    trained("aa1", 3.0)
    trained("ab2", 2.0, seed=1)
    trained("ac3", 2.5, seed=2, code_version="newer")
    assert serving_run(home).run_id == "ab2"
    assert serving_run(home, code_version="newer").run_id == "ac3"
    assert serving_run(home, Choice(run_id="aa")).run_id == "aa1"
    assert serving_run(home).name == "SAS-FPT seed 1, quick, ml-1m 5-core"
    with pytest.raises(
        RefusedError,
        match="Several trainings have an id that begins so: got a, expected ab2 or ac3 or aa1",
    ):
        serving_run(home, Choice(run_id="a"))
    with pytest.raises(RefusedError, match="No such training: got x"):
        serving_run(home, Choice(run_id="x"))


def test_other_weights_than_the_published_are_not_asked(home, trained):
    trained("aa1", 1.0)
    (home.run("aa1") / "best.safetensors").write_bytes(b"wrong")
    with pytest.raises(RefusedError, match=r"best\.safetensors is damaged"):
        serving_run(home)


def test_known_users_are_named_and_those_left_out_bring_their_history(home, trained):
    trained("aa1", 1.0)
    known, left_out = request(home, serving_run(home), [99, 12])
    assert known == {"raw_user_id": 12, "user_id": 2}
    assert left_out == {
        "raw_user_id": 99,
        "item_ids": [3, 1],  # item 50 is none of the snapshot's, the second 3 a repeat
        "timestamps": [86_400, 86_410],
        "weeks": [1, 1],
        "ratings": [7, 10],  # half stars
        "time_scale": 10,
    }


def test_all_are_those_of_whom_something_is_known_and_nobody_is_a_mistake(home, trained):
    trained("aa1", 1.0)
    everybody = [one["raw_user_id"] for one in request(home, serving_run(home), None)]
    assert everybody == [*range(11, 17), 99]  # 98 took nothing that the training knows
    with pytest.raises(RefusedError, match="No user is named"):
        request(home, serving_run(home), [])
    assert sample_user(home, serving_run(home)) == 11


def test_an_unknown_user_is_named(home, trained):
    trained("aa1", 1.0)
    of = serving_run(home)
    for users, who in (
        ([12345], "User 12345 is"),
        ([11, -1], "User -1 is"),
        (["12345", 11], "User 12345 is"),
        ([2**62, 7], f"Users 7, {2**62} are"),
    ):
        with pytest.raises(
            RefusedError, match=f"^{who} not in ml-1m: expected numbers .* from 11 to 99"
        ):
            request(home, of, users)
    with pytest.raises(RefusedError, match=r"User 98 rated nothing that SAS-FPT seed 0, .* knows"):
        request(home, of, [98])
    with pytest.raises(RefusedError, match="A user of an archive is a number: got 'Ann'"):
        request(home, of, ["Ann"])


def advice(*rows: tuple[int, int | None, int, int, float]) -> pl.DataFrame:
    schema = {
        "raw_user_id": pl.Int64,
        "user_id": pl.Int32,
        "rank": pl.Int32,
        "item_id": pl.Int32,
        "score": pl.Float32,
    }
    return pl.DataFrame(rows, schema, orient="row")


def test_recommendations_replace_those_of_the_same_users_only(home, trained):
    trained("aa1", 1.0)
    publish_recommendations(
        home, serving_run(home), advice((99, None, 1, 2, 3.0), (99, None, 2, 4, 1.0))
    )
    publish_recommendations(home, serving_run(home), advice((99, None, 1, 6, 9.0)))
    columns = "run_id, raw_user_id, user_id, rank, item_id, score"
    rows = ask(home, f"SELECT {columns} FROM mart.recommendations").rows()
    assert rows == [("aa1", 99, None, 1, 6, 9.0)]


def test_the_newest_list_of_a_user_is_that_of_the_last_training_asked(home, trained):
    trained("aa1", 2.0)
    publish_recommendations(
        home, serving_run(home), advice((99, None, 1, 2, 3.0), (98, None, 1, 2, 3.0))
    )
    trained("aa2", 1.0)
    publish_recommendations(home, serving_run(home), advice((99, None, 1, 6, 9.0)))
    rows = ask(home, "SELECT run_id, raw_user_id FROM recommendations WHERE newest").rows()
    assert sorted(rows) == [("aa1", 98), ("aa2", 99)]
    shown = ask(home, sql_of("recommendations user=99"))
    assert shown.get_column("run_id").to_list() == ["aa2"]


def test_a_wrong_recommendation_publishes_nothing(home, trained):
    trained("aa1", 1.0)
    of = serving_run(home)
    for rows, words in [
        ([(11, 1, 1, 5, 2.0)], "user 11, rank 1: item 5 is in the user's history"),
        ([(99, None, 1, 7, 2.0)], "item 7 is no item of the snapshot"),
        ([(99, None, 2, 2, 2.0)], "item 2 stands in the wrong place"),
        ([(99, None, 1, 2, 1.0), (99, None, 2, 4, 3.0)], "in the wrong place"),
        ([(99, None, 1, 2, 3.0), (99, None, 2, 2, 3.0)], "in the wrong place"),
        ([(99, None, 1, 2, float("nan"))], "in the wrong place"),
    ]:
        with pytest.raises(RefusedError, match="can't be published") as caught:
            publish_recommendations(home, of, advice(*rows))
        assert words in str(caught.value)
    assert ask(home, "SELECT count(*) FROM mart.recommendations").item() == 0


def test_a_history_by_hand_is_an_item_a_day_until_today():
    history = written_history(["20", "SEVEN (1995)", "30"], ITEMS)
    assert history["item_ids"] == [2, 1, 3]
    assert history["time_scale"] == DAY
    now = datetime.now(UTC).timestamp()
    assert [round((now - time) / DAY) for time in history["timestamps"]] == [2, 1, 0]
    assert all(1 <= week <= 52 for week in history["weeks"])
    assert history["ratings"] == [0, 0, 0]  # nobody knows them
    assert written_history(["10"], ITEMS)["time_scale"] == 1


def test_items_of_own_data_are_named_by_their_ids():
    own = ITEMS.with_columns(item_key=pl.Series(["a", "10", "30"]), title="item_key")
    assert written_history(["30", "10", "a"], own)["item_ids"] == [3, 2, 1]
    with pytest.raises(RefusedError, match="got '20'"):
        written_history(["20"], own)  # a number within


def test_an_id_or_title_with_a_comma_is_one_before_it_is_split():
    key = "Schuh, Größe 001"
    own = ITEMS.with_columns(
        item_key=pl.Series(["10", key, "b"]), title=pl.Series(["b, 10", None, "c"])
    )
    for whole, items in ((key, [2]), ("B, 10", [1]), ("b,10", [3, 1]), ("10", [1])):
        words = [word.strip() for word in whole.split(",")]
        assert written_history(words, own, whole)["item_ids"] == items
    with pytest.raises(RefusedError) as caught:
        written_history(["Schuh", "Größe 2"], own, "Schuh, Größe 2")
    assert "raw.item_keys" in str(caught.value)
    assert "core.items" not in str(caught.value)
    assert "an id or title a line" in str(caught.value)
    with pytest.raises(RefusedError, match=r"core\.items"):
        written_history(["Alien"], ITEMS, "Alien")


@pytest.mark.parametrize("words", [[], ["7"], ["10", "Seven"], ["1"], [""]])
def test_items_that_nobody_knows_are_named(words):
    with pytest.raises(RefusedError, match="No history of items"):
        written_history(words, ITEMS)


def test_a_new_history_is_asked_about_by_title(home, trained, tmp_path):
    trained("aa1", 1.0)
    asked = history_of(home, serving_run(home), ["item 2", "5"])
    assert asked["item_ids"] == [2, 5]
    write_request(tmp_path / "asked.json", [asked])
    assert (tmp_path / "asked.json").read_text().startswith('[{"item_ids": [2, 5]')


def test_attention_is_a_row_an_item_with_its_blocks():
    rows = pl.DataFrame(
        {
            "position": [2, 1, 2, 1],
            "title": ["B", "A", "B", "A"],
            "raw_item_id": [20, 10, 20, 10],
            "seconds_before": [0, 7200, 0, 7200],
            "block": [1, 1, 2, 2],
            "weight": [0.25, 0.75, 0.5, 0.5],
        }
    )
    first, last = explanation(rows).rows(named=True)
    assert first == {
        "position": 1,
        "title": "A",
        "movie": 10,
        "seconds_before": 7200,
        "before": "2 hours",
        "weight": 0.625,
        "block_1": 0.75,
        "block_2": 0.5,
    }
    assert (last["title"], last["before"], last["weight"]) == ("B", "same second", 0.375)

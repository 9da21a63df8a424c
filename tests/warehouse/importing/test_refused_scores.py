"""Files of scores that are refused, each with what is wrong and where."""

import math
import re

import polars as pl
import pytest

from warehouse.errors import RefusedError
from warehouse.names import refuse_name


def changed(frame, row, **values):
    """With other values in a row; their types stay."""
    rows = frame.rows(named=True)
    rows[row] |= values
    return pl.DataFrame(rows, frame.schema)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"score": math.nan},
            "scores that are no numbers: got 1 row, such as user 1001, item 1",
        ),
        ({"score": math.inf}, "scores that are no numbers: got 1 row"),
        ({"score": -math.inf}, "scores that are no numbers: got 1 row"),
        ({"score": None}, "empty cells: got 1 row, such as user 1001, item 1, score null"),
        ({"user": None}, "empty cells: got 1 row"),
        ({"item": None}, "empty cells: got 1 row"),
        ({"user": 77}, "users that the data set has not: got 1 row, such as user 77, item 1"),
        ({"item": 900}, "items that the data set has not: got 1 row, such as user 1001, item 900"),
        ({"user": -1}, "users that the data set has not"),
    ],
)
def test_a_row_that_cannot_be_taken(world, rank, values, said):
    with pytest.raises(RefusedError, match=said):
        rank(changed(world.scores(), 0, **values))


def test_unknown_text_is_no_id(world, rank):
    frame = world.scores().with_columns(pl.col("item").cast(pl.String))
    with pytest.raises(RefusedError, match=r"items that the data set has not: got 1 row.*item x7"):
        rank(changed(frame, 0, item="x7"))


def test_an_item_twice_for_a_user(world, rank):
    frame = world.scores()
    with pytest.raises(RefusedError, match=r"same item twice.*such as user 1001, item 5, times 2"):
        rank(pl.concat([frame, frame.slice(4, 1)]))


def test_the_same_item_in_both_splits_is_no_repetition(world, rank):
    both = [world.scores().with_columns(split=pl.lit(split)) for split in ("valid", "test")]
    assert rank(pl.concat(both))[0].splits == ("valid", "test")


def test_a_split_that_there_is_not(world, rank):
    frame = world.scores().with_columns(split=pl.lit("train"))
    with pytest.raises(RefusedError, match=r"splits that there are not.*expected valid or test"):
        rank(frame)


def test_scores_of_some_users_are_missing(world, rank):
    frame = world.scores().filter(pl.col("user") != world.users[3])
    said = "not all scores of all items: got 1 user without some of them: user 1004 lacks"
    with pytest.raises(RefusedError, match=said):
        rank(frame)
    drawn = world.candidates(world.scores()).filter(pl.col("user") != world.users[3])
    said = (
        r"scores of the 100 sampled items: got 1 user.*user 1004 lacks 101 of 101 scores \(test\)"
    )
    with pytest.raises(RefusedError, match=said):
        rank(drawn)


def test_a_score_of_some_users_is_missing(world, rank):
    """As a whole it looks like scores of all items: it is not taken for top lists in silence."""
    user = world.users[0]
    new = next(item for item in world.items if item not in world.history[user])
    frame = world.scores().filter((pl.col("user") != user) | (pl.col("item") != new))
    with pytest.raises(
        RefusedError, match=r"user 1001 lacks 1 of \d+ scores \(test\).*`--kind top`"
    ):
        rank(frame)
    assert rank(frame, kind="top")[0].kind == "top"


def test_the_score_of_a_held_out_item_is_missing(world, rank):
    user = world.users[0]
    own = pl.col("item") == world.targets["test", user]
    with pytest.raises(RefusedError, match=r"user 1001 lacks 1 of \d+ scores \(test\)"):
        rank(world.scores().filter((pl.col("user") != user) | ~own))


def test_what_is_said_of_the_kind_must_be_so(world, rank):
    with pytest.raises(RefusedError, match="not all scores of all items") as told:
        rank(world.candidates(world.scores()), kind="all")
    assert "--kind" not in str(told.value)


def test_a_list_of_seen_items_alone(world, rank, some):
    user = world.users[0]
    lists = world.lists(world.scores(ties=10**6), 5).filter(pl.col("user") != user)
    seen = [item for item in world.history[user] if item != world.targets["test", user]]
    with pytest.raises(RefusedError, match="lists without an item that is new"):
        rank(pl.concat([lists, some(user, seen[:1], [1.0])]))


def test_a_file_without_a_row_that_counts(world, rank, some):
    with pytest.raises(RefusedError, match="has no rows"):
        rank(world.scores().head(0))
    with pytest.raises(RefusedError, match="no row of a user with held-out items: got 2 rows"):
        rank(some(1901, world.items[:2], [1, 2]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop("score"), "other columns: got user, item, expected user, item"),
        (
            lambda frame: frame.with_columns(weight=1),
            "columns: got user, item, score, weight",
        ),
        (lambda frame: frame.cast({"user": pl.Float64}), "Column user .* got double"),
        (lambda frame: frame.cast({"score": pl.String}), "Column score .* expected numbers"),
        (lambda frame: frame.cast({"score": pl.Boolean}), "Column score .* got bool"),
        (lambda frame: frame.with_columns(split=1), "Column split .* expected valid or test"),
    ],
)
def test_other_columns(world, rank, change, said):
    with pytest.raises(RefusedError, match=said):
        rank(change(world.scores()))


def test_a_frame_of_pandas_brings_its_index(world, rank):
    frame = world.scores().with_columns(__index_level_0__=1)
    assert rank(frame)[0].kind == "all"


def test_no_parquet_file(world, rank, tmp_path, monkeypatch):
    monkeypatch.setattr(pl.DataFrame, "write_parquet", lambda _, path: path.write_text("user,item"))
    with pytest.raises(RefusedError, match=r"scores.parquet is no Parquet file"):
        rank(world.scores())


@pytest.mark.parametrize("name", ["", " x", "a/b", "x" * 41, "a\nb", "_x", "a'b"])
def test_no_name(name):
    said = "no name for a model: .*up to 40 letters, digits, blanks and .* beginning with a letter"
    with pytest.raises(RefusedError, match=re.compile(said, re.DOTALL)):
        refuse_name(name, [])


@pytest.mark.parametrize("name", ["SAS-FPT", "sas_fpt", "Popularity", "EASE^r"])
def test_a_name_of_ours(name):
    with pytest.raises(RefusedError, match="One of our own models has this name"):
        refuse_name(name, ["SAS-FPT", "sas_fpt", "popularity", "EASE^R"])


def test_a_name():
    refuse_name("GRU4Rec (ours, v2)".replace(",", ""), ["SAS-FPT"])
    refuse_name("Ähnliche-Items 2", ["SAS-FPT"])

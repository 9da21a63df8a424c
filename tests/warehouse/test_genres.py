"""Genres of items on their way from the movies file into the sequences file, and out of it."""

import duckdb
import pyarrow.parquet as pq
import pytest

from fpt_model.data.sequences import load
from fpt_model.errors import ModelError
from fpt_model.files.written import write_table
from warehouse.preparing import prepare
from warehouse.publishing import publish_load
from warehouse.staging import audited, stage_frame

ROWS = [(user, (user + step) % 6 + 1, 10 * step) for user in range(1, 5) for step in range(5)]
GENRES = {1: "War|Drama", 2: "Drama", 3: "", 4: "Comedy|War|Drama|", 5: "Noir", 6: ""}


@pytest.fixture
def genred(home, staging, stage_raw, monkeypatch):
    """A staged snapshot of six movies with those genres: its folder and itself."""

    def renamed(folder, table, load_id, frame):
        if table == "raw.items":
            frame = frame.with_columns(genres=frame["raw_item_id"].replace_strict(GENRES))
        stage_frame(folder, table, load_id, frame)

    monkeypatch.setitem(stage_raw.__globals__, "stage_frame", renamed)
    folder = staging()
    stage_raw(folder, "load", ROWS)
    publish_load(home, folder)
    folder = staging()
    return folder, prepare(home, "load", "cold-start", folder)


def test_training_reads_of_each_item_the_numbers_of_its_genres(genred):
    found = load(genred[1].sequences).item_features["genres"]
    comedy, drama, noir, war = 1, 2, 3, 4
    assert found.tolist() == [
        [0, 0, 0],
        [drama, war, 0],
        [drama, 0, 0],
        [0, 0, 0],
        [comedy, drama, war],
        [noir, 0, 0],
        [0, 0, 0],
    ]


def test_audits_see_them_by_name(genred):
    with duckdb.connect(audited(genred[0]), read_only=True) as connection:
        said = connection.execute("FROM core.sequence_genres ORDER BY item_id").fetchall()
    assert [tuple(one) for one in said] == [
        (1, ["Drama", "War"]),
        (2, ["Drama"]),
        (4, ["Comedy", "Drama", "War"]),
        (5, ["Noir"]),
    ]


def test_where_no_item_has_one_nothing_is_said(published_snapshot):
    said = pq.read_metadata(published_snapshot.sequences).metadata
    assert b"genres" not in said
    assert load(published_snapshot.sequences).item_features == {}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("nothing", "says no genres of each item"),
        ('{"names":["War"],"items":[[1]]}', "says genres that can't be: expected 1 to 1"),
        ('{"names":["War"],"items":[[],[2],[],[],[],[]]}', "says genres that can't be"),
        ('{"names":["War"],"items":[[],["War"],[],[],[],[]]}', "says no genres of each item"),
    ],
)
def test_what_no_file_of_ours_says_is_refused(said, words, published_snapshot, tmp_path):
    table = pq.read_table(published_snapshot.sequences)
    path = tmp_path / "other.parquet"
    write_table(path, table.replace_schema_metadata({**table.schema.metadata, "genres": said}))
    with pytest.raises(ModelError, match=words):
        load(path)

"""What people may ask: the published tables are read, whatever the SQL is; nothing is written."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from warehouse.catalogue import writing
from warehouse.errors import RefusedError
from warehouse.following import newest
from warehouse.home import Home
from warehouse.published import guarded, refuse_writing
from warehouse.staging import stage_frame, staging_folder
from warehouse.store import list_files, place_all

ITEMS = pl.DataFrame({"raw_item_id": [1, 2], "title": ["A", "B"], "genres": ["", ""]})


@pytest.fixture(scope="module")
def home(tmp_path_factory, home_at) -> Home:
    """A home with one file that is listed, and one beside it that is not."""
    home = home_at(tmp_path_factory.mktemp("published") / "[home]")
    for frame in (ITEMS, ITEMS.head(1)):
        with staging_folder(home, "test") as folder:
            stage_frame(folder, "raw.items", "load", frame)
            files = place_all(home, folder)
        with writing(home) as connection:
            list_files(connection, home, files)
    (home.root / "secret.csv").write_text("a\n1\n")
    return home


@pytest.fixture(scope="module")
def paths(home) -> dict[str, Path]:
    with guarded(home) as connection:
        ((path,),) = connection.execute("SELECT path FROM mart.files").fetchall()
    listed = home.files / path
    (unlisted,) = set(listed.parent.iterdir()) - {listed}
    return {"listed": listed, "unlisted": unlisted, "home": home.root, "newest": newest(home)}


def content(home: Home) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in home.root.rglob("*") if path.is_file()}


def asked(home: Home, question: str) -> list[tuple]:
    """As `fpt sql` asks."""
    with guarded(home) as connection:
        refuse_writing(connection, question)
        relation = connection.sql(question)
        return [] if relation is None else relation.fetchall()


@pytest.mark.parametrize(
    "question",
    [
        "SELECT count(*) FROM raw.items",
        "-- said before\nFROM raw.items SELECT count(*)",
        "WITH x AS (FROM raw.items) SELECT count(*) FROM x",
        "SELECT count(*) FROM read_parquet('{listed}')",
        "SELECT 1;",
        "VALUES (1)",
        "SELECT 5; SELECT 1",
        "SELECT count(*) FROM query('FROM raw.items')",
        "SELECT 1 WHERE 'COPY_TO_FILE' <> 'x' -- COPY (SELECT 1) TO 'x'",
    ],
)
def test_whatever_reads_is_answered(home, paths, question):
    if "'{listed}'" in question:
        question = question.replace("{listed}", str(paths["listed"]).replace("[home]", "[[]home]"))
    assert asked(home, question) == [(1,)]


@pytest.mark.parametrize(
    "question",
    [
        "SHOW ALL TABLES",
        "DESCRIBE raw.items",
        "SUMMARIZE raw.items",
        "EXPLAIN FROM raw.items",
        "EXPLAIN ANALYZE FROM raw.items",
        "EXPLAIN (FORMAT json) FROM raw.items",
        "PIVOT raw.items ON title IN ('A', 'B') USING count(*)",
        "UNPIVOT raw.items ON title",
    ],
)
def test_whatever_tells_of_tables_is_answered(home, question):
    assert asked(home, question)


TO_LISTED = "COPY (SELECT 1 AS a, 2 AS b) TO '{listed}'"
WITHIN = "WITH x AS (COPY (SELECT 1) TO ''{listed}'' (FORMAT csv, USE_TMP_FILE false)) FROM x"
RUN = f"json_execute_serialized_sql(json_serialize_sql('{WITHIN}'))"
WRITES = [
    TO_LISTED,
    f"{TO_LISTED} (FORMAT parquet, USE_TMP_FILE false)",
    f"{TO_LISTED} (FORMAT csv, USE_TMP_FILE false)",
    f"{TO_LISTED} (FORMAT json, USE_TMP_FILE false)",
    f"{TO_LISTED} (FORMAT parquet, PARTITION_BY b, OVERWRITE)",
    "COPY (SELECT 'x'::BLOB) TO '{listed}' (FORMAT blob, USE_TMP_FILE false)",
    f"EXPLAIN ANALYZE {TO_LISTED} (FORMAT csv, USE_TMP_FILE false)",
    f"EXPLAIN (ANALYZE) {TO_LISTED} (FORMAT csv, USE_TMP_FILE false)",
    f"EXPLAIN (ANALYZE ')SELECT 1; --')\n{TO_LISTED} (FORMAT csv, USE_TMP_FILE false)",
    f"SELECT 1; {TO_LISTED} (FORMAT csv, USE_TMP_FILE false)",
    f"PREPARE x AS {TO_LISTED} (FORMAT csv, USE_TMP_FILE false)",
    WITHIN.replace("''", "'"),
    f"({WITHIN})".replace("''", "'"),
    f"EXPLAIN ANALYZE {WITHIN}".replace("''", "'"),
    f"{WITHIN} UNION ALL SELECT 1".replace("''", "'"),
    WITHIN.replace("''", "'").replace(" FROM x", " PIVOT raw.items ON title USING count(*)"),
    "PIVOT raw.items ON title IN (" + WITHIN.replace("''", "'") + ") USING count(*)",
    f"FROM {RUN}",
    f"SELECT (SELECT count(*) FROM {RUN})",
    f"PRAGMA {RUN}",
    f"CALL {RUN}",
    "FROM query('FROM json_exe' || 'cute_serialized_sql(json_serialize_sql('''"
    + WITHIN.replace("''", "''''")
    + "'''))')",
    "SET VARIABLE x = (" + WITHIN.replace("''", "'") + ")",
    "EXPORT DATABASE '{home}/new'",
    "ATTACH '{home}/new.duckdb' AS other",
    "ATTACH '{newest}' AS other",
    "INSERT INTO mart.files SELECT 't', 'i', 'p', 'x', 1, 1",
    "WITH x AS (DELETE FROM mart.files RETURNING *) FROM x",
    "CHECKPOINT",
    "UPDATE EXTENSIONS",
]
READS = [
    "FROM read_csv('{home}/secret.csv')",
    "FROM '{home}/secret.csv'",
    "FROM read_text('/etc/passwd')",
    "FROM read_parquet('{unlisted}')",
    "FROM read_blob('{unlisted}')",
    "FROM read_parquet('{home}/store/*/*/*.parquet')",
    "FROM read_parquet('{home}/store/raw.items/load_id=load/*')",
    "FROM glob('{home}/store/*/*/*')",
    "FROM glob('/*')",
    "FROM read_text('{listed}/../../../../secret.csv')",
    "FROM parquet_metadata('{unlisted}')",
    "SET allowed_paths = ['/etc/passwd']",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET memory_limit",
    "INSTALL httpfs",
    "LOAD httpfs",
    "FROM 'https://example.org/a.parquet'",
]


def named(question: str, paths: dict[str, Path]) -> str:
    """With the paths in it."""
    for name, path in paths.items():
        question = question.replace(f"{{{name}}}", str(path))
    return question


@pytest.mark.parametrize("question", WRITES + READS)
def test_whatever_is_more_is_refused_and_changes_nothing(home, paths, question):
    before = content(home)
    try:
        with pytest.raises((RefusedError, duckdb.Error)):
            asked(home, named(question, paths))
    finally:
        assert content(home) == before


def test_the_guard_holds_on_a_connection_whose_questions_nobody_looked_at(home, paths):
    """Reading is held by DuckDB's settings alone; writing the catalogue too."""
    changes = ("DELETE FROM mart.files", "CREATE TABLE mine AS SELECT 1", TO_LISTED)
    for question in (*READS, *changes):
        with guarded(home) as connection, pytest.raises(duckdb.Error):
            connection.execute(named(question, paths)).fetchall()


def test_nothing_published_is_refused(tmp_path):
    with (
        pytest.raises(RefusedError, match=r"Nothing is published yet.*Run `fpt run` first"),
        guarded(Home.at(tmp_path)),
    ):
        pass

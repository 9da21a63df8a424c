"""What DuckLake does to files and names must not reach what is published: docs/surprises.md."""

import re

from warehouse.catalogue import fetch_all, writing
from warehouse.lake import upstream
from warehouse.lake.tables import SCHEMAS, wanted

BARE = re.compile(rf"(?<!\(SELECT \* FROM )\b(?:{'|'.join(SCHEMAS)})\.\w+", re.IGNORECASE)
READ = "SELECT load_id, sum(raw_item_id) FROM raw.items GROUP BY ALL"
PATH = "SELECT path FROM mart.files WHERE table_name = 'raw.items'"


def test_bytes_that_come_back_come_as_another_file(home, publish, lake, lakes):
    """DuckLake deletes a file when its first stay expires, also during its second."""
    publish(home, "one")
    ((before,),) = fetch_all(home, PATH)
    with writing(home) as connection:
        connection.execute("DELETE FROM mart.files")
        connection.execute("DELETE FROM raw.loads")
    publish(home, "one")
    ((after,),) = fetch_all(home, PATH)
    assert (home.files / before).read_bytes() == (home.files / after).read_bytes()
    schema = home.lake.schema
    lakes.sql(
        f"UPDATE {schema}.ducklake_snapshot SET snapshot_time = now() - interval '9 days' "
        f"WHERE snapshot_id < (SELECT max(snapshot_id) FROM {schema}.ducklake_snapshot)"
    )
    upstream.expire(home, ())
    assert not (home.files / before).exists()
    assert (home.files / after).exists()
    assert lake(READ) == fetch_all(home, READ) == [("one", 3)]


def test_views_of_the_lake_read_what_tables_define(home, publish, lake):
    """A table by its bare name has a `snapshot_id` of DuckLake's, which joins by one of ours."""
    publish(home, "one")
    views = lake(
        "SELECT view_name, sql FROM duckdb_views() WHERE database_name = 'lake' AND NOT internal"
    )
    assert len(views) > 10
    for view, query in views:
        assert not {table for table in BARE.findall(query) if table in wanted()}, view

-- Every table and view with its columns in their order, as documented in the database.
WITH things AS (
    SELECT schema_name, table_name AS thing, 'table' AS kind, comment FROM duckdb_tables() WHERE NOT internal
    UNION ALL
    SELECT schema_name, view_name, 'view', comment FROM duckdb_views() WHERE NOT internal
)
SELECT
    things.schema_name || '.' || thing AS name, kind, things.comment AS says,
    column_name, data_type, columns.comment AS column_says
FROM things
JOIN duckdb_columns() AS columns ON columns.schema_name = things.schema_name AND columns.table_name = thing
ORDER BY
    list_position(['main', 'raw', 'core', 'mart'], things.schema_name), kind, thing, column_index

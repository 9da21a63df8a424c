-- All tables and views, those for readers first.
SELECT
    CASE WHEN table_schema = 'main' THEN table_name ELSE table_schema || '.' || table_name END AS name,
    table_comment AS says
FROM information_schema.tables
ORDER BY table_schema <> 'main', table_schema = 'raw', table_schema = 'core', name

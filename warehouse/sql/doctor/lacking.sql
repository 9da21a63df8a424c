-- $1: tables of a load, $2: of a snapshot, $3: of a load of own data. Rows that say "done" of what has lost its file.
SELECT id, table_name
FROM (
    SELECT load_id AS id, unnest($1::VARCHAR[]) AS table_name FROM raw.loads
    UNION ALL SELECT load_id, unnest($3::VARCHAR[]) FROM raw.descriptions
    UNION ALL SELECT snapshot_id, unnest($2::VARCHAR[]) FROM core.snapshots
    UNION ALL SELECT run_id, 'mart.user_ranks' FROM mart.training_runs WHERE status = 'published'
)
ANTI JOIN mart.files USING (id, table_name)
ORDER BY ALL

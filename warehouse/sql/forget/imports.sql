-- $1: snapshots. What was ranked on them by scores of somebody else's models.
SELECT run_id FROM mart.imports WHERE list_contains($1::VARCHAR[], snapshot_id) ORDER BY run_id

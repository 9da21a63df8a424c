-- $1: imports. What must be imported again, of each name the latest.
SELECT file, name, dataset, retention, kind, trained_on, promise
FROM mart.imports
SEMI JOIN mart.latest_imports USING (run_id)
JOIN (SELECT snapshot_id, load_id, retention FROM core.snapshots) USING (snapshot_id)
JOIN (SELECT load_id, dataset FROM raw.loads) USING (load_id)
WHERE list_contains($1::VARCHAR[], run_id)
ORDER BY ALL

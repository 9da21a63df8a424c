-- $1: imports. What must be imported again, in its order; `split` where a file held one alone.
SELECT
    file, name, dataset, retention, kind, trained_on, promise,
    CASE WHEN len(mart.imports.splits) = 1 THEN mart.imports.splits[1] END AS split
FROM mart.imports
SEMI JOIN (SELECT run_id FROM mart.latest_imports) AS latest USING (run_id)
JOIN (SELECT snapshot_id, load_id, retention FROM core.snapshots) USING (snapshot_id)
JOIN (SELECT load_id, dataset FROM raw.loads) USING (load_id)
WHERE list_contains($1::VARCHAR[], run_id)
ORDER BY publication, name

SELECT snapshot_id, dataset || ' ' || retention || coalesce(' as of ' || as_of, '') AS what
FROM core.snapshots AS snapshots
JOIN raw.loads USING (load_id)
ORDER BY snapshots.publication DESC, created_at DESC, snapshot_id LIMIT 1

-- $1: data set, $2: retention; null for any.
SELECT snapshot_id, dataset || ' ' || retention AS what
FROM core.snapshots AS snapshots
JOIN raw.loads USING (load_id)
WHERE as_of IS NULL AND ($1::VARCHAR IS NULL OR dataset = $1) AND ($2::VARCHAR IS NULL OR retention = $2)
ORDER BY snapshots.publication DESC, created_at DESC, snapshot_id LIMIT 1

-- $1: loads
SELECT snapshot_id FROM core.snapshots WHERE list_contains($1::VARCHAR[], load_id) ORDER BY snapshot_id

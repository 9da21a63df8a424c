-- $1: snapshots
SELECT sequences_path FROM core.snapshots WHERE list_contains($1::VARCHAR[], snapshot_id) ORDER BY ALL

-- $1: snapshots
SELECT run_id FROM mart.training_runs WHERE list_contains($1::VARCHAR[], snapshot_id) ORDER BY run_id

-- $1: snapshot. Published trainings of it that have no figures yet.
SELECT run_id
FROM mart.training_runs
WHERE snapshot_id = $1 AND status = 'published' AND run_id NOT IN (SELECT run_id FROM mart.run_metrics)
ORDER BY run_id

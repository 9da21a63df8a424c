-- $1: snapshot. What has ranks on it and no figures yet.
SELECT run_id
FROM mart.ranked_runs
WHERE snapshot_id = $1 AND run_id NOT IN (SELECT run_id FROM mart.run_metrics)
ORDER BY run_id

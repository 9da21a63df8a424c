-- $1: data set, $2: preset. Every published id, and seconds of past trainings by model.
SELECT load_id AS name, NULL::DOUBLE AS seconds FROM raw.loads
UNION ALL SELECT snapshot_id, NULL FROM core.snapshots
UNION ALL SELECT run_id, NULL FROM mart.training_runs WHERE status = 'published'
UNION ALL
SELECT 'seconds ' || model, round(avg(train_seconds), 1)
FROM mart.training_runs JOIN mart.lineage USING (run_id, model, preset)
WHERE dataset = $1 AND preset = $2 AND status = 'published'
GROUP BY model

-- $1: data set. What a past training took, on average.
SELECT model, preset, round(avg(train_seconds), 1) AS seconds
FROM mart.training_runs JOIN mart.lineage USING (run_id, model, preset)
WHERE dataset = $1 AND status = 'published'
GROUP BY model, preset

SELECT dataset, max(loaded_at) AS landed_at, max(finished_at) AS trained_at
FROM raw.loads
LEFT JOIN core.snapshots USING (load_id)
LEFT JOIN mart.training_runs USING (snapshot_id)
GROUP BY dataset
ORDER BY dataset

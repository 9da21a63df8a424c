-- When each data set was landed, prepared and trained last (UTC).
SELECT
    dataset, max(loaded_at) AS landed, max(created_at) AS prepared, max(finished_at) AS trained,
    max(n_ratings) AS ratings
FROM raw.loads
LEFT JOIN core.snapshots USING (load_id)
LEFT JOIN mart.training_runs USING (snapshot_id)
GROUP BY dataset
ORDER BY dataset

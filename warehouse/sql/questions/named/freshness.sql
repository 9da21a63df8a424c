-- How old the newest ratings, loads, snapshots and trainings of each data set are.
-- first: `fpt ingest`
SELECT
    dataset,
    (SELECT make_timestamp(max(timestamp) * 1000000) FROM raw.ratings
     JOIN raw.loads AS theirs USING (load_id) WHERE theirs.dataset = loads.dataset) AS newest_rating,
    max(loaded_at) AS landed, max(created_at) AS prepared, max(finished_at) AS trained,
    round((epoch(now()) - epoch(max(finished_at))) / 86400, 1) AS days_since_training
FROM raw.loads AS loads
LEFT JOIN core.snapshots USING (load_id)
LEFT JOIN mart.training_runs USING (snapshot_id)
GROUP BY dataset
ORDER BY dataset

-- NDCG@10 by length of the history, popularity of the held-out item and season: test, uniform_100, mean over seeds.
SELECT
    dataset, retention, slices.preset, display_name AS model, slice, bucket,
    round(avg(recall_10), 4) AS recall_10, round(avg(ndcg_10), 4) AS ndcg_10,
    any_value(slices.n_users) AS users
FROM mart.slices AS slices
SEMI JOIN mart.latest_runs USING (run_id)
JOIN mart.models USING (model)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
WHERE split = 'test' AND protocol = 'uniform_100'
GROUP BY dataset, retention, snapshot_id, slices.preset, display_name, rung, slice, bucket
ORDER BY dataset, retention, snapshot_id, slices.preset, slice, bucket, rung

-- How users with short training histories fare on cold-start data: test, uniform_100, mean over seeds.
SELECT
    dataset, runs.preset, display_name AS model, bucket AS trained_on, any_value(figures.n_users) AS users,
    round(avg(recall_10), 4) AS recall_10, round(avg(ndcg_10), 4) AS ndcg_10
FROM mart.run_slices AS figures
JOIN mart.latest_runs AS runs USING (run_id)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
JOIN mart.models USING (model)
WHERE slice = 'short_history' AND retention = 'cold-start' AND split = 'test' AND protocol = 'uniform_100'
    AND as_of IS NULL
GROUP BY dataset, snapshot_id, runs.preset, display_name, rung, trained_on
ORDER BY dataset, snapshot_id, runs.preset, trained_on, rung

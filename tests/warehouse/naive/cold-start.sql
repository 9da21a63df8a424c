-- How users with short training histories fare on cold-start data: test, uniform_100, mean over seeds.
SELECT
    dataset, runs.preset, display_name AS model,
    CASE WHEN n_train < 5 THEN '1: under 5' WHEN n_train < 10 THEN '2: 5 to 9'
         WHEN n_train < 20 THEN '3: 10 to 19' ELSE '4: 20 and more' END AS trained_on,
    count(DISTINCT user_id) AS users,
    round(avg(CASE WHEN rank <= 10 THEN 1.0 ELSE 0.0 END), 4) AS recall_10,
    round(avg(CASE WHEN rank <= 10 THEN 1.0 / log2(rank::DOUBLE + 1.0) ELSE 0.0 END), 4) AS ndcg_10
FROM mart.user_ranks
JOIN mart.latest_runs AS runs USING (run_id)
JOIN core.users USING (snapshot_id, user_id)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
JOIN mart.models USING (model)
WHERE retention = 'cold-start' AND split = 'test' AND protocol = 'uniform_100'
    AND as_of IS NULL
GROUP BY dataset, snapshot_id, runs.preset, display_name, rung, trained_on
ORDER BY dataset, snapshot_id, runs.preset, trained_on, rung

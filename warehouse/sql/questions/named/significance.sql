-- Does each rung of the ladder beat the one below? Paired over users, 95 % intervals, test, uniform_100.
SELECT
    dataset, retention, preset, model, baseline, metric,
    round(difference, 4) AS difference, round(low, 4) AS low, round(high, 4) AS high, verdict,
    n_users AS users, n_seeds AS seeds
FROM mart.ladder
WHERE split = 'test' AND protocol = 'uniform_100'
ORDER BY dataset, retention, preset, snapshot_id, rung, metric

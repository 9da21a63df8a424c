-- Does each rung of the ladder beat the one below? Paired over users, 95 % intervals, test, uniform_100.
SELECT
    dataset, retention, preset, models.display_name AS variant, below.display_name AS baseline, metric,
    round(difference, 4) AS difference, round(low, 4) AS low, round(high, 4) AS high, verdict,
    round(paper_difference, 4) AS paper_difference, n_users AS users, n_seeds AS seeds
FROM mart.ladder AS ladder
JOIN mart.models AS models USING (model)
JOIN mart.models AS below ON below.model = ladder.baseline
WHERE split = 'test' AND protocol = 'uniform_100'
ORDER BY dataset, retention, preset, snapshot_id, models.rung, below.rung DESC, metric

-- Does each rung of the ladder beat the one below? Paired over users, 95 % intervals, on test.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $protocol = uniform_100: among 100 sampled items; full: among all
-- first: `fpt benchmark`
SELECT
    dataset, retention, preset, models.display_name AS variant, below.display_name AS baseline, metric,
    round(difference, 4) AS difference, round(low, 4) AS low, round(high, 4) AS high, verdict,
    round(paper_difference, 4) AS paper_difference, n_users AS users, n_seeds AS seeds
FROM mart.ladder AS ladder
JOIN mart.models AS models USING (model)
JOIN mart.models AS below ON below.model = ladder.baseline
WHERE split = 'test' AND protocol = $protocol
    AND ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR preset = $preset)
ORDER BY dataset, retention, preset, snapshot_id, models.rung, below.rung DESC, metric

-- How far the seeds of a variant lie apart: NDCG on test.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $protocol = uniform_100: among 100 sampled items; full: among all
-- $k = 10: cut-off, 1, 5, 10 or 20
-- first: `fpt run`
SELECT
    data, retention, preset, display_name AS model, count(*) AS seeds,
    round(min(ndcg), 4) AS lowest, round(avg(ndcg), 4) AS mean, round(max(ndcg), 4) AS highest,
    round(stddev_samp(ndcg), 4) AS standard_deviation,
    string_agg(DISTINCT warnings, '; ' ORDER BY warnings) AS warnings
FROM mart.metrics
SEMI JOIN mart.latest_runs USING (run_id)
WHERE split = 'test' AND protocol = $protocol AND k = $k AND as_of IS NULL
    AND ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR preset = $preset)
GROUP BY data, snapshot_id, retention, preset, display_name
ORDER BY data, retention, preset, mean DESC, snapshot_id

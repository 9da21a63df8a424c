-- How far the seeds of a variant lie apart: test NDCG@10, uniform_100.
SELECT
    data, retention, preset, display_name AS model, count(*) AS seeds,
    round(min(ndcg), 4) AS lowest, round(avg(ndcg), 4) AS mean, round(max(ndcg), 4) AS highest,
    round(stddev_samp(ndcg), 4) AS standard_deviation,
    string_agg(DISTINCT warnings, '; ' ORDER BY warnings) AS warnings
FROM mart.metrics
SEMI JOIN mart.latest_runs USING (run_id)
WHERE split = 'test' AND protocol = 'uniform_100' AND k = 10 AND as_of IS NULL
GROUP BY data, snapshot_id, retention, preset, display_name
ORDER BY data, retention, preset, mean DESC, snapshot_id

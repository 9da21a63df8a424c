-- $1: since (UTC). A training is odd when it lies more than five standard deviations of the earlier
-- ones like it from their mean, of which there must be five. The deviation counts as a hundredth of
-- the mean at least, as a few seeds may agree by chance.
WITH trainings AS (
    SELECT
        dataset, retention, as_of, preset, model, display_name, protocol, seed, run_id, ndcg,
        publication, finished_at
    FROM mart.metrics
    JOIN (SELECT run_id, publication, finished_at FROM mart.training_runs) USING (run_id)
    WHERE split = 'test' AND k = 10 AND as_of IS NULL
),
beside_earlier AS (
    SELECT *, count(*) OVER earlier AS n, avg(ndcg) OVER earlier AS usual,
        stddev_samp(ndcg) OVER earlier AS spread
    FROM trainings
    WINDOW earlier AS (
        PARTITION BY dataset, retention, as_of, preset, model, protocol
        ORDER BY publication, finished_at, run_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
)
SELECT
    run_id, dataset, retention, preset, display_name AS model, protocol, seed, n AS n_earlier,
    round(ndcg, 4) AS ndcg_10, round(usual, 4) AS usual, round(spread, 4) AS spread
FROM beside_earlier
WHERE n >= 5 AND finished_at > $1 AND abs(ndcg - usual) > 5 * greatest(spread, usual / 100)
ORDER BY publication, finished_at, run_id, protocol

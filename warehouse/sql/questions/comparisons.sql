-- $1: data set, $2: preset. Each rung of the ladder against the one below, on test.
SELECT
    dataset, retention, preset, model AS variant, baseline, protocol, metric,
    round(difference, 6) AS difference, round(low, 6) AS low, round(high, 6) AS high, verdict,
    round(paper_difference, 4) AS paper_difference,
    ladder.n_users AS n_users, n_seeds
FROM mart.ladder AS ladder
JOIN core.snapshots AS snapshots USING (snapshot_id, retention)
WHERE dataset = $1 AND preset = $2 AND split = 'test' AND as_of IS NULL
QUALIFY row_number() OVER (
    PARTITION BY retention, model, baseline, protocol, metric ORDER BY publication DESC
) = 1
ORDER BY retention, model, baseline, protocol, metric

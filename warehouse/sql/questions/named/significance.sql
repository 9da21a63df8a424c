-- Does each rung of the ladder beat the one below? Paired over users, 95 % intervals, test, uniform_100.
WITH rungs AS (
    SELECT
        snapshot_id, preset, model,
        lag(model) OVER (PARTITION BY snapshot_id, preset ORDER BY rung) AS baseline, rung
    FROM (SELECT DISTINCT snapshot_id, preset, model FROM mart.leaderboard) JOIN mart.models USING (model)
)
SELECT
    loads.dataset, snapshots.retention, rungs.preset,
    upper.display_name AS model, lower.display_name AS baseline, metric,
    round(difference, 4) AS difference, round(low, 4) AS low, round(high, 4) AS high,
    CASE WHEN low > 0 THEN 'better' WHEN high < 0 THEN 'worse' ELSE 'undecided' END AS verdict,
    significance.n_users AS users, n_seeds AS seeds
FROM rungs
JOIN mart.significance AS significance USING (snapshot_id, preset, model, baseline)
JOIN core.snapshots AS snapshots USING (snapshot_id)
JOIN raw.loads AS loads USING (load_id)
JOIN mart.models AS upper USING (model)
JOIN mart.models AS lower ON lower.model = baseline
WHERE split = 'test' AND protocol = 'uniform_100'
ORDER BY dataset, retention, preset, snapshot_id, rungs.rung, metric

-- What models put first for test users, the mean over seeds: lists of ten.
SELECT
    snapshot_id, preset, display_name, avg(coverage) AS coverage, avg(gini) AS gini,
    avg(novelty) AS novelty, avg(popularity_lift) AS lift, avg(diversity) AS diversity
FROM mart.beyond_accuracy
SEMI JOIN mart.latest_runs USING (run_id)
JOIN (SELECT model, rung FROM mart.models) USING (model)
WHERE k = 10 AND slice = 'everybody'
GROUP BY snapshot_id, preset, display_name, rung
ORDER BY snapshot_id, preset, rung

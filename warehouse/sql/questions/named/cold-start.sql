-- How users with short training histories fare on cold-start data: test, mean over seeds.
-- $dataset = all: name of the data set
-- $preset = all: named settings of the trainings
-- $model = all: such as SAS-FPT
-- $protocol = uniform_100: among 100 sampled items; full: among all
-- first: `fpt run --retention cold-start`
SELECT
    dataset, runs.preset, display_name AS model, bucket AS trained_on, any_value(figures.n_users) AS users,
    round(avg(recall_10), 4) AS recall_10, round(avg(ndcg_10), 4) AS ndcg_10
FROM mart.run_slices AS figures
JOIN mart.latest_runs AS runs USING (run_id)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
JOIN mart.models USING (model)
WHERE slice = 'short_history' AND retention = 'cold-start' AND split = 'test' AND protocol = $protocol
    AND as_of IS NULL
    AND ($dataset IS NULL OR dataset = $dataset) AND ($preset IS NULL OR runs.preset = $preset) AND ($model IS NULL OR display_name = $model)
GROUP BY dataset, snapshot_id, runs.preset, display_name, rung, trained_on
ORDER BY dataset, snapshot_id, runs.preset, trained_on, rung

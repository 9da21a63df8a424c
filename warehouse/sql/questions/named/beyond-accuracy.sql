-- Coverage, novelty, popularity bias and diversity of what is recommended to test users, mean over seeds.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $model = all: such as SAS-FPT
-- $slice = everybody: or history, popularity, season; all for each
-- $k = 10: length of the lists: 1, 5, 10 or 20
-- first: `fpt run`
SELECT
    dataset, retention, preset, coalesce(display_name, model) AS model, slice, bucket,
    round(avg(coverage), 4) AS coverage, round(avg(gini), 4) AS gini, round(avg(novelty), 2) AS novelty,
    round(avg(popularity), 4) AS popularity, round(avg(popularity_lift), 3) AS lift,
    round(avg(diversity), 4) AS diversity, any_value(n_users) AS users
FROM mart.beyond_accuracy
SEMI JOIN mart.latest_runs USING (run_id)
WHERE k = $k AND ($slice IS NULL OR slice = $slice) AND as_of IS NULL
    AND ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR preset = $preset) AND ($model IS NULL OR display_name = $model)
GROUP BY dataset, retention, snapshot_id, preset, model, display_name, slice, bucket
ORDER BY dataset, retention, snapshot_id, preset, slice, bucket, coverage DESC, model

-- What really came next after a day, beside what was left out: NDCG@10.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $model = all: such as SAS-FPT
-- $protocol = uniform_100: among 100 sampled items; full: among all
-- first: `fpt backtest`
SELECT
    dataset, retention, as_of, preset, display_name AS model, waited, n_users AS users,
    n_new_items AS new_items, round(ndcg_10, 4) AS came_next,
    round(left_out_ndcg_10, 4) AS left_out, round(ndcg_gap, 4) AS gap,
    round(low, 4) AS low, round(high, 4) AS high, warnings
FROM mart.backtest
WHERE protocol = $protocol
    AND ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR preset = $preset) AND ($model IS NULL OR display_name = $model)
ORDER BY dataset, retention, as_of, preset, model, waited

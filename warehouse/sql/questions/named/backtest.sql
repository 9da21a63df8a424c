-- What really came next after a day, beside what was left out: NDCG@10, uniform_100.
SELECT
    dataset, retention, as_of, preset, display_name AS model, waited, n_users AS users,
    n_new_items AS new_items, round(ndcg_10, 4) AS came_next,
    round(left_out_ndcg_10, 4) AS left_out, round(ndcg_gap, 4) AS gap,
    round(low, 4) AS low, round(high, 4) AS high, warnings
FROM mart.backtest
WHERE protocol = 'uniform_100'
ORDER BY dataset, retention, as_of, preset, model, waited

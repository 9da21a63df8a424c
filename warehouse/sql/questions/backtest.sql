-- $1: snapshots, $2: preset
SELECT
    as_of, display_name AS model, waited, n_users AS users, n_new_items AS new_items,
    round(recall_10, 4) AS recall, round(ndcg_10, 4) AS ndcg,
    round(left_out_recall_10, 4) AS left_out_recall, round(left_out_ndcg_10, 4) AS left_out_ndcg,
    round(ndcg_gap, 4) AS ndcg_gap, round(low, 4) AS low, round(high, 4) AS high,
    warnings
FROM mart.backtest
LEFT JOIN mart.models USING (model, display_name)
WHERE snapshot_id IN (SELECT unnest($1::VARCHAR[])) AND preset = $2 AND protocol = 'uniform_100'
ORDER BY as_of, rung, waited

-- $1: snapshots, $2: presets
SELECT
    as_of, display_name AS model,
    nullif(array_to_string(string_split(preset, ' ')[2:], ' '), '') AS settings, waited, n_users AS users, n_new_items AS new_items,
    round(recall_10, 4) AS recall, round(ndcg_10, 4) AS ndcg,
    round(left_out_recall_10, 4) AS left_out_recall, round(left_out_ndcg_10, 4) AS left_out_ndcg,
    round(ndcg_gap, 4) AS ndcg_gap, round(low, 4) AS low, round(high, 4) AS high,
    warnings
FROM mart.backtest
LEFT JOIN mart.models USING (model, display_name)
WHERE snapshot_id IN (SELECT unnest($1::VARCHAR[])) AND preset IN (SELECT unnest($2::VARCHAR[])) AND protocol = 'uniform_100'
ORDER BY as_of, rung, preset, waited

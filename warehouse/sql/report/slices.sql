-- NDCG@10 by part of the users, the mean over seeds: test, among 100 sampled items.
SELECT
    snapshot_id, board.preset, display_name, slice, bucket,
    avg(ndcg_10) AS ndcg, any_value(n_users) AS n_users
FROM mart.slices AS slices
JOIN (SELECT run_id, preset FROM mart.board_runs WHERE list_contains(splits, 'test')) AS board USING (run_id)
JOIN mart.models USING (model)
WHERE split = 'test' AND protocol = 'uniform_100'
GROUP BY snapshot_id, board.preset, display_name, rung, slice, bucket
ORDER BY snapshot_id, board.preset, slice, bucket, rung

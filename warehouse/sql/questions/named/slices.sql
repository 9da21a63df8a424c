-- Recall, NDCG and MRR at 10 by length of the history, popularity of the held-out item and season: test, mean over seeds.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $model = all: such as SAS-FPT
-- $protocol = uniform_100: among 100 sampled items; full: among all
-- first: `fpt run`
SELECT
    dataset, retention, board.preset, display_name AS model, slice, bucket,
    round(avg(recall_10), 4) AS recall_10, round(avg(ndcg_10), 4) AS ndcg_10,
    round(avg(mrr_10), 4) AS mrr_10,
    any_value(slices.n_users) AS users
FROM mart.slices AS slices
JOIN (SELECT run_id, preset FROM mart.board_runs WHERE list_contains(splits, 'test')) AS board USING (run_id)
JOIN mart.models USING (model)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
WHERE split = 'test' AND protocol = $protocol
    AND ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR board.preset = $preset) AND ($model IS NULL OR display_name = $model)
GROUP BY dataset, retention, snapshot_id, board.preset, display_name, rung, slice, bucket
ORDER BY dataset, retention, snapshot_id, board.preset, slice, bucket, rung

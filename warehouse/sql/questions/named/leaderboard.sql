-- Test metrics at 10 of every model and of popularity, among 100 sampled items and all, best first.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $model = all: such as SAS-FPT
-- first: `fpt run`
SELECT
    dataset || CASE WHEN verified THEN '' ELSE ' (unverified)' END AS data, retention, preset, model, seeds,
    round(recall_10, 4) AS recall_10, round(recall_10_sd, 4) AS recall_sd,
    round(ndcg_10, 4) AS ndcg_10, round(ndcg_10_sd, 4) AS ndcg_sd,
    round(mrr_10, 4) AS mrr_10,
    round(full_recall_10, 4) AS full_recall_10, round(full_ndcg_10, 4) AS full_ndcg_10,
    round(full_mrr_10, 4) AS full_mrr_10,
    warnings
FROM leaderboard
WHERE ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR preset = $preset) AND ($model IS NULL OR model = $model)
ORDER BY dataset, retention, preset, leaderboard.ndcg_10 DESC, model

-- Every published training with its test metrics at 10, those that count in the leaderboard first.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $model = all: such as SAS-FPT
-- first: `fpt run`
SELECT
    dataset, retention, preset, model, seed, round(recall_10, 4) AS recall_10, round(ndcg_10, 4) AS ndcg_10,
    round(full_recall_10, 4) AS full_recall_10, round(full_ndcg_10, 4) AS full_ndcg_10,
    best_epoch, round(train_seconds, 1) AS seconds, as_of, counts, run_id
FROM runs
WHERE ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR preset = $preset) AND ($model IS NULL OR model = $model)
ORDER BY counts DESC, dataset, retention, preset, model, seed, finished_at DESC, run_id

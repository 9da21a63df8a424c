-- Training loss and validation metrics by epoch, mean over seeds.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $preset = all: named settings of the trainings
-- $model = all: such as SAS-FPT
-- first: `fpt run`
SELECT
    dataset, retention, runs.preset, display_name AS model, epoch,
    round(avg(train_loss), 4) AS train_loss,
    round(avg(valid_recall_10), 4) AS valid_recall_10, round(avg(valid_ndcg_10), 4) AS valid_ndcg_10,
    count(*) AS seeds
FROM mart.epochs
JOIN mart.latest_runs AS runs USING (run_id)
JOIN mart.models USING (model)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
WHERE valid_ndcg_10 IS NOT NULL AND train_loss IS NOT NULL
    AND ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention) AND ($preset IS NULL OR runs.preset = $preset) AND ($model IS NULL OR display_name = $model)
GROUP BY dataset, retention, snapshot_id, runs.preset, display_name, rung, epoch
ORDER BY dataset, retention, snapshot_id, runs.preset, rung, epoch

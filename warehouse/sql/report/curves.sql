-- Validation NDCG@10 and training loss by epoch, the mean over the seeds that got so far.
SELECT
    snapshot_id, preset, display_name, rung, epoch,
    avg(valid_ndcg_10) AS ndcg, avg(train_loss) AS loss
FROM mart.epochs
JOIN mart.latest_runs USING (run_id)
JOIN mart.models USING (model)
WHERE train_loss IS NOT NULL
GROUP BY ALL
ORDER BY snapshot_id, preset, rung, epoch

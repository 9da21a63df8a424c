-- Validation NDCG@10 and training loss by epoch, mean over seeds, of the trainings that count.
SELECT
    epoch, display_name || ', ' || dataset || ', ' || retention || ', ' || preset AS line,
    avg(valid_ndcg_10) AS "NDCG@10 on validation", avg(train_loss) AS "training loss", count(*) AS seeds
FROM mart.epochs
JOIN mart.latest_runs USING (run_id)
JOIN mart.boards USING (snapshot_id, preset)
JOIN mart.models USING (model)
WHERE valid_ndcg_10 IS NOT NULL
GROUP BY ALL
ORDER BY line, epoch

-- Validation NDCG@10 by epoch, the mean over the seeds that got so far.
SELECT snapshot_id, preset, display_name, rung, epoch, avg(valid_ndcg_10) AS ndcg
FROM mart.epochs
JOIN mart.latest_runs USING (run_id)
JOIN mart.models USING (model)
WHERE valid_ndcg_10 IS NOT NULL
GROUP BY ALL
ORDER BY snapshot_id, preset, rung, epoch

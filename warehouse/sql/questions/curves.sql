-- $1: data set, $2: preset. Validation by epoch of every training that counts.
SELECT
    dataset, retention, preset, model AS variant, seed,
    list(epoch ORDER BY epoch) AS epochs,
    list(round(valid_ndcg_10, 4) ORDER BY epoch) AS valid_ndcg_10
FROM mart.latest_runs
JOIN mart.training_runs AS runs USING (run_id, preset, model, seed)
JOIN mart.lineage USING (run_id, preset, model, seed)
JOIN mart.epochs USING (run_id)
WHERE dataset = $1 AND preset = $2 AND as_of IS NULL AND valid_ndcg_10 IS NOT NULL AND train_loss IS NOT NULL
GROUP BY dataset, retention, preset, model, seed, run_id, publication, finished_at
QUALIFY row_number() OVER (PARTITION BY retention, model, seed ORDER BY publication DESC, finished_at DESC) = 1
ORDER BY retention, model, seed

-- $1: data set, $2: preset. Every training that counts, with its metrics at 10 on test.
WITH figures AS (
    SELECT
        run_id,
        max(recall) FILTER (protocol = 'uniform_100') AS recall_10,
        max(ndcg) FILTER (protocol = 'uniform_100') AS ndcg_10,
        max(recall) FILTER (protocol = 'full') AS full_recall_10,
        max(ndcg) FILTER (protocol = 'full') AS full_ndcg_10,
        string_agg(DISTINCT warnings, '; ' ORDER BY warnings) AS warnings
    FROM mart.metrics
    WHERE split = 'test' AND k = 10
    GROUP BY run_id
)
SELECT
    dataset, source_sha256, verified, retention, preset, model AS variant, seed,
    lineage.device, versions, lineage.code_version, round(train_seconds, 2) AS train_seconds,
    best_epoch, 'NDCG@10 on validation, uniform_100' AS selected_on,
    round(recall_10, 6) AS recall_10, round(ndcg_10, 6) AS ndcg_10,
    round(full_recall_10, 6) AS full_recall_10, round(full_ndcg_10, 6) AS full_ndcg_10,
    warnings
FROM mart.latest_runs
JOIN mart.training_runs AS runs USING (run_id, preset, model, seed)
JOIN mart.lineage AS lineage USING (run_id, preset, model, seed)
JOIN figures USING (run_id)
WHERE dataset = $1 AND preset = $2 AND as_of IS NULL
-- of several archives of a data set, the one trained on last
QUALIFY row_number() OVER (PARTITION BY retention, model, seed ORDER BY publication DESC, finished_at DESC) = 1
ORDER BY retention, model, seed

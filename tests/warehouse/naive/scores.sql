-- Test metrics at 10 with 95 % intervals over users (each the mean over seeds), the paper's beside.
WITH users AS (
    SELECT
        snapshot_id, preset, model, protocol, user_id,
        avg(CASE WHEN rank <= 10 THEN 1.0 ELSE 0.0 END) AS recall,
        avg(CASE WHEN rank <= 10 THEN 1.0 / log2(rank::DOUBLE + 1.0) ELSE 0.0 END) AS ndcg,
        avg(CASE WHEN rank <= 10 THEN 1.0 / rank::DOUBLE ELSE 0.0 END) AS mrr,
        count(*) AS n_seeds
    FROM mart.user_ranks
    JOIN mart.latest_runs USING (run_id)
    WHERE split = 'test'
    GROUP BY ALL
), scores AS (
    SELECT
        snapshot_id, preset, model, protocol, max(n_seeds) AS n_seeds, count(*) AS n_users,
        avg(recall) AS recall, 1.96 * stddev_samp(recall) / sqrt(count(*)) AS recall_margin,
        avg(ndcg) AS ndcg, 1.96 * stddev_samp(ndcg) / sqrt(count(*)) AS ndcg_margin,
        avg(mrr) AS mrr, 1.96 * stddev_samp(mrr) / sqrt(count(*)) AS mrr_margin
    FROM users
    GROUP BY ALL
)
SELECT scores.*, display_name, paper.recall_10 AS paper_recall, paper.ndcg_10 AS paper_ndcg
FROM scores
JOIN mart.models AS models USING (model)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
LEFT JOIN mart.paper_results AS paper
    ON dataset = 'ml-1m' AND protocol = 'uniform_100'
    AND paper.model = scores.model AND paper.retention = snapshots.retention
ORDER BY snapshot_id, preset, protocol DESC, rung

-- Test metrics at 10 with 95 % intervals over users (each the mean over seeds), the paper's beside.
-- The variance over users of a mean over seeds is the mean of the seeds' own variances, less the mean
-- squared distance of every two seeds, each pair counted once.
WITH distances AS (
    SELECT
        a.snapshot_id, a.preset, a.model, protocol,
        sum(squares) FILTER (metric = 'recall_10')::DOUBLE AS recall,
        sum(squares) FILTER (metric = 'ndcg_10')::DOUBLE AS ndcg,
        sum(squares) FILTER (metric = 'mrr_10')::DOUBLE AS mrr
    FROM mart.run_pairs
    JOIN mart.board_runs AS a USING (run_id)
    JOIN mart.board_runs AS b ON b.run_id = other_id AND b.model = a.model
        AND b.preset = a.preset AND b.snapshot_id = a.snapshot_id
    WHERE split = 'test' AND list_contains(a.splits, 'test') AND list_contains(b.splits, 'test')
    GROUP BY ALL
), seeds AS (
    SELECT
        snapshot_id, preset, model, protocol,
        count(*) AS n_seeds, any_value(n_users) AS n_users,
        avg(recall) AS recall, avg(recall_sd ** 2) AS recall_variance,
        avg(ndcg) AS ndcg, avg(ndcg_sd ** 2) AS ndcg_variance,
        avg(mrr) AS mrr, avg(mrr_sd ** 2) AS mrr_variance
    FROM mart.run_metrics
    JOIN mart.board_runs USING (run_id)
    WHERE split = 'test' AND k = 10 AND recall IS NOT NULL AND list_contains(splits, 'test')
    GROUP BY ALL
), scores AS (
    SELECT
        snapshot_id, preset, model, protocol, n_seeds, n_users,
        seeds.recall, 1.96 * sqrt(CASE WHEN n_users > 1 THEN greatest(
            recall_variance - distances.recall / n_seeds ** 2 / (n_users - 1), 0) / n_users END
        ) AS recall_margin,
        seeds.ndcg, 1.96 * sqrt(CASE WHEN n_users > 1 THEN greatest(
            ndcg_variance - distances.ndcg / n_seeds ** 2 / (n_users - 1), 0) / n_users END
        ) AS ndcg_margin,
        seeds.mrr, 1.96 * sqrt(CASE WHEN n_users > 1 THEN greatest(
            mrr_variance - distances.mrr / n_seeds ** 2 / (n_users - 1), 0) / n_users END
        ) AS mrr_margin
    FROM seeds
    JOIN distances USING (snapshot_id, preset, model, protocol)
)
SELECT
    scores.*, display_name, paper.recall_10 AS paper_recall, paper.ndcg_10 AS paper_ndcg, warnings,
    is_simple OR imported AS has_no_seed
FROM scores
LEFT JOIN (
    SELECT snapshot_id, preset, model, protocol, warnings FROM mart.leaderboard
    WHERE split = 'test' AND k = 10
) USING (snapshot_id, preset, model, protocol)
JOIN mart.models AS models USING (model)
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
LEFT JOIN mart.paper_results AS paper
    ON dataset = 'ml-1m' AND protocol = 'uniform_100'
    AND paper.model = scores.model AND paper.retention = snapshots.retention
ORDER BY snapshot_id, preset, protocol DESC, rung

-- $1: snapshot. What ranking by popularity alone gives on test: the row that every model must beat;
-- intervals are over users.
SELECT
    protocol, n_users,
    recall, 1.96 * recall_sd / sqrt(n_users) AS recall_margin,
    ndcg, 1.96 * ndcg_sd / sqrt(n_users) AS ndcg_margin,
    mrr, 1.96 * mrr_sd / sqrt(n_users) AS mrr_margin
FROM mart.popularity_metrics
WHERE snapshot_id = $1 AND split = 'test' AND k = 10
ORDER BY protocol DESC

SELECT
    run_id, model, display_name, dataset, data, verified, snapshot_id, retention, preset, seed,
    split, protocol, k,
    avg(CASE WHEN rank <= k THEN 1.0 ELSE 0.0 END) AS recall,
    avg(CASE WHEN rank <= k THEN 1.0 / log2(rank::DOUBLE + 1.0) ELSE 0.0 END) AS ndcg,
    avg(CASE WHEN rank <= k THEN 1.0 / rank::DOUBLE ELSE 0.0 END) AS mrr,
    avg(CASE WHEN rank <= k THEN 1.0 / k ELSE 0.0 END) AS precision,
    count(*) AS n_users,
    as_of,
    avg(CASE WHEN n_candidates <= k THEN 1.0 ELSE 0.0 END) AS least_recall,
    avg(CASE WHEN n_candidates <= k THEN 1.0 / log2(n_candidates::DOUBLE + 1.0) ELSE 0.0 END) AS least_ndcg
FROM mart.user_ranks
JOIN (SELECT run_id FROM mart.training_runs WHERE status = 'published') USING (run_id)
JOIN mart.lineage USING (run_id)
LEFT JOIN mart.models USING (model)
CROSS JOIN (SELECT unnest([1, 5, 10, 20]) AS k)
GROUP BY ALL

SELECT
    dataset, data, verified, snapshot_id, retention, preset, model, display_name, split, protocol, k,
    avg(recall) AS recall, stddev_samp(recall) AS recall_sd,
    avg(ndcg) AS ndcg, stddev_samp(ndcg) AS ndcg_sd,
    avg(mrr) AS mrr, stddev_samp(mrr) AS mrr_sd,
    avg(precision) AS precision, stddev_samp(precision) AS precision_sd,
    count(*) AS n_seeds, any_value(n_users) AS n_users,
    as_of, avg(least_recall) AS least_recall, avg(least_ndcg) AS least_ndcg
FROM naive_metrics
JOIN (SELECT run_id FROM mart.latest_runs) USING (run_id)
GROUP BY ALL

-- Does one model beat another? Paired over users, 95 % intervals, each pair once. With one seed the
-- interval covers the choice of users alone.
SELECT
    dataset || ', ' || retention || ', ' || preset AS data,
    above.display_name || ' − ' || below.display_name AS pair,
    CASE metric WHEN 'ndcg_10' THEN 'NDCG@10' WHEN 'mrr_10' THEN 'MRR@10' ELSE 'Recall@10' END
        || CASE protocol WHEN 'full' THEN ' of all' ELSE ' of 100' END AS metric,
    difference, low, high, verdict, n_users AS users, n_seeds AS seeds
FROM mart.significance
JOIN mart.boards USING (snapshot_id, preset)
JOIN mart.models AS above USING (model)
JOIN mart.models AS below ON below.model = baseline
WHERE split = 'test' AND above.rung > below.rung
ORDER BY data, above.rung DESC, below.rung DESC, metric

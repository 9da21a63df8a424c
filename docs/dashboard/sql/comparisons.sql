-- Does one model beat another? Paired over users, 95 % intervals, each pair once, best model first.
SELECT
    dataset, retention, preset, above.display_name AS model, below.display_name AS "compared with",
    CASE protocol WHEN 'full' THEN 'all items' ELSE '100 sampled items' END AS among,
    CASE metric WHEN 'ndcg_10' THEN 'NDCG@10' ELSE 'Recall@10' END AS metric,
    round(difference, 4) AS difference, round(low, 4) AS low, round(high, 4) AS high, verdict,
    n_users AS users, n_seeds AS seeds,
    CASE WHEN n_seeds < 2 THEN 'users only' ELSE 'users and seeds' END AS "interval covers"
FROM mart.significance
JOIN mart.boards USING (snapshot_id, preset)
JOIN mart.models AS above USING (model)
JOIN mart.models AS below ON below.model = baseline
WHERE split = 'test' AND above.rung > below.rung
ORDER BY dataset, retention, preset, above.rung DESC, below.rung DESC, metric, among

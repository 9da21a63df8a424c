-- NDCG@10 of each model less that of each other: test, among 100 sampled items.
SELECT
    snapshot_id, preset, models.display_name AS model, others.display_name AS other,
    difference, low, high, n_seeds
FROM mart.significance AS compared
JOIN mart.models AS models USING (model)
JOIN mart.models AS others ON others.model = compared.baseline
WHERE split = 'test' AND protocol = 'uniform_100' AND metric = 'ndcg_10'
ORDER BY snapshot_id, preset, models.rung, others.rung

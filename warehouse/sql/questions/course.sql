-- $1: trainings. The course of each, in the order in which tables show them.
SELECT retention, display_name AS model, seed, epoch, valid_ndcg_10, train_loss
FROM mart.epochs
JOIN mart.lineage USING (run_id)
JOIN mart.models USING (model)
WHERE run_id IN (SELECT unnest($1::VARCHAR[])) AND train_loss IS NOT NULL
ORDER BY retention, rung, seed, epoch

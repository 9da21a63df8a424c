-- $1: version of the models' code, which may not read what others left. Of each snapshot the
-- training that is asked for an example: a neural one, as only those can say what they look at; one
-- of that code, then the best on validation.
SELECT snapshot_id, run_id
FROM mart.latest_runs
JOIN (SELECT run_id, code_version FROM mart.training_runs) USING (run_id)
JOIN mart.run_metrics USING (run_id)
LEFT JOIN (SELECT model, is_simple FROM mart.models) USING (model)
WHERE split = 'valid' AND protocol = 'uniform_100' AND k = 10
QUALIFY row_number() OVER (
    PARTITION BY snapshot_id ORDER BY is_simple IS TRUE, code_version = $1 DESC, ndcg DESC, run_id
) = 1
ORDER BY snapshot_id

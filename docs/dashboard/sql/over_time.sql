-- Test NDCG@10 of every training by the time it ended: does a model drift from one night to the next?
SELECT
    finished_at, model || ', ' || dataset || ', ' || retention || ', ' || preset AS line,
    ndcg_10, full_ndcg_10, recall_10, seed, run_id
FROM runs
WHERE as_of IS NULL
ORDER BY finished_at, run_id

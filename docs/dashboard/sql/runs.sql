-- Every training: what it was trained on, what came out, what it took; the latest first.
SELECT
    finished_at, model, dataset, retention, preset, seed, ndcg_10 AS "NDCG@10 of 100",
    full_ndcg_10 AS "NDCG@10 of all", best_epoch AS "best epoch",
    round(train_seconds)::BIGINT AS seconds, device, counts, run_id, snapshot_id
FROM runs
ORDER BY finished_at DESC, run_id

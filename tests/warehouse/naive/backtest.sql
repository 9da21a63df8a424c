WITH ranks AS (
    SELECT run_id, protocol, user_id, after.rank AS next_rank, left_out.rank AS left_out_rank
    FROM mart.next_ranks AS after
    LEFT JOIN (SELECT * FROM mart.user_ranks WHERE split = 'test') AS left_out
        USING (run_id, protocol, user_id)
), scores AS (
    SELECT
        snapshot_id, preset, model, protocol, user_id, count(*) AS n_seeds,
        avg(CASE WHEN next_rank <= 10 THEN 1.0 ELSE 0.0 END) AS recall,
        avg(CASE WHEN next_rank <= 10 THEN 1.0 / log2(next_rank::DOUBLE + 1.0) ELSE 0.0 END) AS ndcg,
        avg(CASE WHEN left_out_rank <= 10 THEN 1.0 WHEN left_out_rank > 10 THEN 0.0 END) AS left_out_recall,
        avg(CASE WHEN left_out_rank <= 10 THEN 1.0 / log2(left_out_rank::DOUBLE + 1.0)
                 WHEN left_out_rank > 10 THEN 0.0 END) AS left_out_ndcg
    FROM ranks
    JOIN mart.latest_runs USING (run_id)
    GROUP BY ALL
), waits AS (
    SELECT
        snapshot_id, user_id, item_id,
        unnest(['all', CASE WHEN waited_seconds < 86400 THEN 'under a day' ELSE 'a day and more' END]) AS waited
    FROM mart.next_targets
), unknown AS (
    SELECT snapshot_id, waited, count(*) FILTER (item_id IS NULL) AS n_new_items
    FROM waits GROUP BY ALL
)
SELECT
    loads.dataset, snapshots.retention, snapshots.as_of, snapshot_id, preset, model, display_name,
    protocol, waited,
    avg(recall) AS recall_10, avg(ndcg) AS ndcg_10,
    avg(left_out_recall) AS left_out_recall_10, avg(left_out_ndcg) AS left_out_ndcg_10,
    avg(left_out_ndcg - ndcg) AS ndcg_gap,
    ndcg_gap - 1.96 * stddev_samp(left_out_ndcg - ndcg) / sqrt(count(left_out_ndcg)) AS low,
    ndcg_gap + 1.96 * stddev_samp(left_out_ndcg - ndcg) / sqrt(count(left_out_ndcg)) AS high,
    count(*) AS n_users, any_value(n_new_items) AS n_new_items, min(n_seeds) AS n_seeds
FROM scores
JOIN waits USING (snapshot_id, user_id)
JOIN unknown USING (snapshot_id, waited)
JOIN core.snapshots AS snapshots USING (snapshot_id)
JOIN raw.loads AS loads USING (load_id)
LEFT JOIN mart.models USING (model)
GROUP BY ALL

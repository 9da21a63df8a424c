-- Both figures are of the same weights; each user counts once, with the mean over seeds.
CREATE OR REPLACE VIEW mart.backtest AS
WITH ranks AS (
    SELECT run_id, protocol, user_id, after.rank AS next_rank, left_out.rank AS left_out_rank
    FROM mart.next_ranks AS after
    LEFT JOIN (
        SELECT * FROM mart.user_ranks WHERE split = 'test' AND run_id IN (SELECT run_id FROM mart.next_ranks)
    ) AS left_out USING (run_id, protocol, user_id)
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
), suspected AS (
    SELECT
        snapshot_id, preset, model, protocol,
        string_agg(name || CASE WHEN accepted THEN ' (accepted)' ELSE '' END, ', ' ORDER BY name) AS warnings
    FROM (
        SELECT snapshot_id, preset, model, protocol, name, bool_and(accepted) AS accepted
        FROM mart.marks JOIN mart.latest_runs USING (run_id)
        WHERE split = 'next' AND k = 10 GROUP BY ALL
    )
    GROUP BY ALL
)
SELECT
    loads.dataset, snapshots.retention, snapshots.as_of, snapshot_id, preset, model, display_name,
    protocol, waited,
    avg(recall) AS recall_10, avg(ndcg) AS ndcg_10,
    avg(left_out_recall) AS left_out_recall_10, avg(left_out_ndcg) AS left_out_ndcg_10,
    avg(left_out_ndcg - ndcg) AS ndcg_gap,
    ndcg_gap - 1.96 * stddev_samp(left_out_ndcg - ndcg) / sqrt(count(left_out_ndcg)) AS low,
    ndcg_gap + 1.96 * stddev_samp(left_out_ndcg - ndcg) / sqrt(count(left_out_ndcg)) AS high,
    count(*) AS n_users, any_value(n_new_items) AS n_new_items, min(n_seeds) AS n_seeds,
    any_value(warnings) AS warnings
FROM scores
JOIN waits USING (snapshot_id, user_id)
JOIN unknown USING (snapshot_id, waited)
JOIN core.snapshots AS snapshots USING (snapshot_id)
JOIN raw.loads AS loads USING (load_id)
LEFT JOIN mart.models USING (model)
LEFT JOIN suspected USING (snapshot_id, preset, model, protocol)
GROUP BY ALL;
COMMENT ON VIEW mart.backtest IS 'How each variant, trained on what was known on a day, ranked what really came next; beside it the leave-one-out figure of the same weights and users. Their gap is what leave-one-out owes to other users'' later interactions in its training, and to targets that lie nearer to the history: rows by waiting time tell the two apart.';
COMMENT ON COLUMN mart.backtest.as_of IS 'The day: only ratings before it (UTC) were known.';
COMMENT ON COLUMN mart.backtest.waited IS 'all, or those who came back under a day, or a day and more, after their last interaction before.';
COMMENT ON COLUMN mart.backtest.recall_10 IS 'Recall@10 of what came next.';
COMMENT ON COLUMN mart.backtest.ndcg_10 IS 'NDCG@10 of what came next.';
COMMENT ON COLUMN mart.backtest.left_out_recall_10 IS 'Recall@10 of the held-out test items of the same users.';
COMMENT ON COLUMN mart.backtest.left_out_ndcg_10 IS 'NDCG@10 of the held-out test items of the same users.';
COMMENT ON COLUMN mart.backtest.ndcg_gap IS 'Mean over users of leave-one-out less what came next.';
COMMENT ON COLUMN mart.backtest.low IS 'Lower end of its normal 95 % interval over users.';
COMMENT ON COLUMN mart.backtest.high IS 'Upper end of its normal 95 % interval over users.';
COMMENT ON COLUMN mart.backtest.n_users IS 'Users who came back for an item that the snapshot knows.';
COMMENT ON COLUMN mart.backtest.n_new_items IS 'Users who came back for one that it does not know, and who are not in the means.';
COMMENT ON COLUMN mart.backtest.n_seeds IS 'Seeds averaged over.';
COMMENT ON COLUMN mart.backtest.warnings IS 'What audits suspected of the ranks of what came next, at 10 (mart.run_warnings); null: nothing.';

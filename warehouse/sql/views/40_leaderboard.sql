CREATE OR REPLACE VIEW mart.leaderboard AS
SELECT
    dataset, data, verified, metrics.snapshot_id, retention, board.preset, metrics.model, display_name,
    metrics.split, metrics.protocol, metrics.k,
    avg(recall) AS recall, stddev_samp(recall) AS recall_sd,
    avg(ndcg) AS ndcg, stddev_samp(ndcg) AS ndcg_sd,
    avg(mrr) AS mrr, stddev_samp(mrr) AS mrr_sd,
    avg(precision) AS precision, stddev_samp(precision) AS precision_sd,
    nullif(count(*) FILTER (NOT metrics.imported), 0) AS n_seeds, any_value(n_users) AS n_users,
    as_of, avg(least_recall) AS least_recall, avg(least_ndcg) AS least_ndcg, marks.warnings,
    metrics.imported
FROM mart.metrics AS metrics
JOIN (SELECT run_id, preset, splits FROM mart.board_runs) AS board
    ON board.run_id = metrics.run_id AND list_contains(board.splits, metrics.split)
LEFT JOIN (
    SELECT
        snapshot_id, preset, model, split, protocol, k,
        string_agg(name || CASE WHEN accepted THEN ' (accepted)' ELSE '' END, ', ' ORDER BY name) AS warnings
    FROM (
        SELECT
            snapshot_id, preset, model, split, protocol, k, name, bool_and(accepted) AS accepted
        FROM mart.marks JOIN mart.board_runs USING (run_id)
        WHERE list_contains(splits, split) GROUP BY ALL
    )
    GROUP BY ALL
) AS marks
    ON marks.snapshot_id = metrics.snapshot_id AND marks.preset = board.preset AND marks.model = metrics.model
    AND marks.split = metrics.split AND marks.protocol = metrics.protocol AND marks.k = metrics.k
GROUP BY ALL;
COMMENT ON VIEW mart.leaderboard IS 'Mean and standard deviation over seeds of every published variant, each seed as it was trained last, and of every imported model, which stands beside the trainings of each preset.';
COMMENT ON COLUMN mart.leaderboard.preset IS 'Named settings of the trainings, with what was changed by hand.';
COMMENT ON COLUMN mart.leaderboard.recall IS 'Mean recall over seeds.';
COMMENT ON COLUMN mart.leaderboard.recall_sd IS 'Sample standard deviation of recall over seeds; null for one seed.';
COMMENT ON COLUMN mart.leaderboard.ndcg IS 'Mean NDCG over seeds.';
COMMENT ON COLUMN mart.leaderboard.ndcg_sd IS 'Sample standard deviation of NDCG over seeds; null for one seed.';
COMMENT ON COLUMN mart.leaderboard.mrr IS 'Mean MRR over seeds; with one held-out item a user this is MAP too.';
COMMENT ON COLUMN mart.leaderboard.mrr_sd IS 'Sample standard deviation of MRR over seeds; null for one seed.';
COMMENT ON COLUMN mart.leaderboard.precision IS 'Mean precision over seeds: recall divided by k.';
COMMENT ON COLUMN mart.leaderboard.precision_sd IS 'Sample standard deviation of precision over seeds; null for one seed.';
COMMENT ON COLUMN mart.leaderboard.n_seeds IS 'Seeds averaged over; null of an imported model.';
COMMENT ON COLUMN mart.leaderboard.n_users IS 'Users in each.';
COMMENT ON COLUMN mart.leaderboard.least_ndcg IS 'NDCG that holds whatever the model.';
COMMENT ON COLUMN mart.leaderboard.warnings IS 'What audits suspected of any seed, marked as accepted where it was for all that have it (mart.marks); null: nothing.';

-- Views for readers, in the schema where every tool looks first. Each leaves no choice that would mix
-- figures of different kinds: test alone, k = 10 alone, each training as it was trained last, the
-- newest snapshot of each data set, retention and preset, and a protocol is a column, not a row.

-- Snapshots as of some day are of backtests (mart.backtest) and stand beside nothing here.
CREATE OR REPLACE VIEW mart.boards AS
SELECT snapshot_id, dataset, verified, retention, preset
FROM (SELECT DISTINCT snapshot_id, preset FROM mart.board_runs)
JOIN (SELECT snapshot_id, load_id, retention, publication FROM core.snapshots WHERE as_of IS NULL) USING (snapshot_id)
JOIN (SELECT load_id, dataset, verified FROM raw.loads) USING (load_id)
QUALIFY row_number() OVER (PARTITION BY dataset, retention, preset ORDER BY publication DESC, snapshot_id) = 1;
COMMENT ON VIEW mart.boards IS 'The snapshot that counts for each data set, retention and preset: the newest with a training, or with an import where there is none (preset imported).';
COMMENT ON COLUMN mart.boards.verified IS 'Whether the archive is the publisher''s, or made by us, or it is own data.';

CREATE OR REPLACE VIEW main.leaderboard AS
WITH figures AS (
    SELECT
        snapshot_id, preset, coalesce(display_name, model) AS model, protocol,
        recall, recall_sd, ndcg, ndcg_sd, mrr, mrr_sd, n_seeds, n_users, warnings, imported
    FROM mart.leaderboard
    WHERE split = 'test' AND k = 10
    UNION ALL BY NAME
    SELECT snapshot_id, preset, 'popularity' AS model, protocol, recall, ndcg, mrr, n_users, false AS imported
    FROM mart.popularity_metrics
    JOIN (SELECT snapshot_id, preset FROM mart.boards) USING (snapshot_id)
    WHERE split = 'test' AND k = 10
)
SELECT
    dataset, retention, preset, model,
    max(recall) FILTER (protocol = 'uniform_100') AS recall_10,
    max(ndcg) FILTER (protocol = 'uniform_100') AS ndcg_10,
    max(mrr) FILTER (protocol = 'uniform_100') AS mrr_10,
    max(recall) FILTER (protocol = 'full') AS full_recall_10,
    max(ndcg) FILTER (protocol = 'full') AS full_ndcg_10,
    max(mrr) FILTER (protocol = 'full') AS full_mrr_10,
    max(n_seeds) AS seeds,
    max(recall_sd) FILTER (protocol = 'uniform_100') AS recall_10_sd,
    max(ndcg_sd) FILTER (protocol = 'uniform_100') AS ndcg_10_sd,
    max(mrr_sd) FILTER (protocol = 'uniform_100') AS mrr_10_sd,
    max(recall_sd) FILTER (protocol = 'full') AS full_recall_10_sd,
    max(ndcg_sd) FILTER (protocol = 'full') AS full_ndcg_10_sd,
    max(mrr_sd) FILTER (protocol = 'full') AS full_mrr_10_sd,
    max(n_users) AS users,
    nullif(concat_ws('; ',
        max(warnings) FILTER (protocol = 'uniform_100'),
        CASE WHEN max(warnings) FILTER (protocol = 'full') IS DISTINCT FROM max(warnings) FILTER (protocol = 'uniform_100')
            THEN 'full: ' || max(warnings) FILTER (protocol = 'full') END), '') AS warnings,
    verified, imported, snapshot_id
FROM mart.boards
JOIN figures USING (snapshot_id, preset)
GROUP BY ALL;
COMMENT ON VIEW main.leaderboard IS 'One row for each data set, retention, preset and model, and one for popularity, which every model must beat; imported models stand beside those of each preset: test metrics at 10, mean over seeds, on the newest snapshot.';
COMMENT ON COLUMN main.leaderboard.model IS 'Name of the variant, e.g. SAS-FPT; popularity: items by how often training saw them; imported models are marked so.';
COMMENT ON COLUMN main.leaderboard.recall_10 IS 'Recall@10 among 100 sampled items.';
COMMENT ON COLUMN main.leaderboard.ndcg_10 IS 'NDCG@10 among 100 sampled items.';
COMMENT ON COLUMN main.leaderboard.mrr_10 IS 'MRR@10 among 100 sampled items.';
COMMENT ON COLUMN main.leaderboard.seeds IS 'Trainings averaged over, one a seed; null for popularity, which is not trained, and for imported models.';
COMMENT ON COLUMN main.leaderboard.recall_10_sd IS 'Standard deviation of recall_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.ndcg_10_sd IS 'Standard deviation of ndcg_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.mrr_10_sd IS 'Standard deviation of mrr_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.full_recall_10_sd IS 'Standard deviation of full_recall_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.full_ndcg_10_sd IS 'Standard deviation of full_ndcg_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.full_mrr_10_sd IS 'Standard deviation of full_mrr_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.users IS 'Users averaged over.';
COMMENT ON COLUMN main.leaderboard.warnings IS 'What audits suspected of these figures, or the owner of an imported model does not say (mart.marks); what differs among all items after full. Null: nothing.';
COMMENT ON COLUMN main.leaderboard.verified IS 'Whether the archive is the publisher''s, or made by us, or it is own data.';

CREATE OR REPLACE VIEW main.runs AS
WITH figures AS (
    SELECT
        run_id,
        max(recall) FILTER (protocol = 'uniform_100') AS recall_10,
        max(ndcg) FILTER (protocol = 'uniform_100') AS ndcg_10,
        max(mrr) FILTER (protocol = 'uniform_100') AS mrr_10,
        max(recall) FILTER (protocol = 'full') AS full_recall_10,
        max(ndcg) FILTER (protocol = 'full') AS full_ndcg_10,
        max(mrr) FILTER (protocol = 'full') AS full_mrr_10
    FROM mart.run_metrics WHERE split = 'test' AND k = 10 GROUP BY run_id
), took AS (
    SELECT run_id, best_epoch, train_seconds, device, finished_at FROM mart.training_runs
    UNION ALL BY NAME
    SELECT run_id, imported_at AS finished_at FROM mart.imports
)
SELECT
    run_id, dataset, retention, runs.preset, coalesce(display_name, runs.model) AS model, runs.seed,
    recall_10, ndcg_10, mrr_10, full_recall_10, full_ndcg_10, full_mrr_10,
    best_epoch, train_seconds, device, finished_at, as_of,
    EXISTS (
        FROM mart.board_runs AS board JOIN mart.boards USING (snapshot_id, preset)
        WHERE board.run_id = runs.run_id AND list_contains(board.splits, 'test')
    ) AS counts,
    runs.imported, snapshot_id
FROM mart.ranked_runs AS runs
JOIN took USING (run_id)
JOIN figures USING (run_id)
JOIN (SELECT snapshot_id, load_id, retention, as_of FROM core.snapshots) USING (snapshot_id)
JOIN (SELECT load_id, dataset FROM raw.loads) USING (load_id)
LEFT JOIN (SELECT model, display_name FROM mart.models) AS models ON models.model = runs.model;
COMMENT ON VIEW main.runs IS 'One row for each published training, and each imported model: test metrics at 10, and what it took.';
COMMENT ON COLUMN main.runs.preset IS 'Named settings it started from; imported, where there are none.';
COMMENT ON COLUMN main.runs.model IS 'Name of the variant, e.g. SAS-FPT.';
COMMENT ON COLUMN main.runs.seed IS 'Its seed; null of an imported model, as is what its training took.';
COMMENT ON COLUMN main.runs.recall_10 IS 'Recall@10 among 100 sampled items.';
COMMENT ON COLUMN main.runs.ndcg_10 IS 'NDCG@10 among 100 sampled items.';
COMMENT ON COLUMN main.runs.mrr_10 IS 'MRR@10 among 100 sampled items.';
COMMENT ON COLUMN main.runs.best_epoch IS 'The epoch that was evaluated: the best on validation.';
COMMENT ON COLUMN main.runs.train_seconds IS 'Seconds spent training and validating.';
COMMENT ON COLUMN main.runs.finished_at IS 'When it ended, or was imported (UTC).';
COMMENT ON COLUMN main.runs.counts IS 'Whether leaderboard averages it: of the newest snapshot, and trained last with its seed.';

CREATE OR REPLACE VIEW main.slices AS
SELECT
    boards.dataset, boards.retention, boards.preset, coalesce(display_name, slices.model) AS model,
    slice, bucket,
    avg(recall_10) FILTER (protocol = 'uniform_100') AS recall_10,
    avg(ndcg_10) FILTER (protocol = 'uniform_100') AS ndcg_10,
    avg(mrr_10) FILTER (protocol = 'uniform_100') AS mrr_10,
    avg(recall_10) FILTER (protocol = 'full') AS full_recall_10,
    avg(ndcg_10) FILTER (protocol = 'full') AS full_ndcg_10,
    avg(mrr_10) FILTER (protocol = 'full') AS full_mrr_10,
    CASE WHEN NOT board.imported THEN count(*) FILTER (protocol = 'uniform_100') END AS seeds,
    max(n_users) AS users, boards.snapshot_id
FROM mart.boards AS boards
JOIN mart.board_runs AS board USING (snapshot_id, preset)
JOIN mart.slices AS slices ON slices.run_id = board.run_id
LEFT JOIN mart.models AS models ON models.model = slices.model
WHERE split = 'test' AND list_contains(board.splits, 'test')
GROUP BY boards.dataset, boards.retention, boards.preset, display_name, slices.model, slice, bucket, board.imported, boards.snapshot_id;
COMMENT ON VIEW main.slices IS 'Test metrics at 10, mean over seeds, by the length of the user''s training history, by how often training saw the held-out item, and by the season it was watched in (UTC).';
COMMENT ON COLUMN main.slices.model IS 'Name of the variant, e.g. SAS-FPT.';
COMMENT ON COLUMN main.slices.slice IS 'history, popularity or season.';
COMMENT ON COLUMN main.slices.bucket IS 'The part of it, numbered in order. History and popularity count interactions of the training part.';
COMMENT ON COLUMN main.slices.recall_10 IS 'Recall@10 among 100 sampled items, of the users in it.';
COMMENT ON COLUMN main.slices.ndcg_10 IS 'NDCG@10 among 100 sampled items, of the users in it.';
COMMENT ON COLUMN main.slices.mrr_10 IS 'MRR@10 among 100 sampled items, of the users in it.';
COMMENT ON COLUMN main.slices.full_recall_10 IS 'Recall@10 among all items outside the user''s history, or all where own data keeps all repeats, of the users in it.';
COMMENT ON COLUMN main.slices.full_ndcg_10 IS 'NDCG@10 among all items outside the user''s history, or all where own data keeps all repeats, of the users in it.';
COMMENT ON COLUMN main.slices.full_mrr_10 IS 'MRR@10 among all items outside the user''s history, or all where own data keeps all repeats, of the users in it.';
COMMENT ON COLUMN main.slices.seeds IS 'Trainings averaged over, one a seed; null of an imported model.';

CREATE OR REPLACE VIEW main.recommendations AS
SELECT
    dataset, retention, preset, coalesce(display_name, lineage.model) AS model, seed,
    raw_user_id, rank, coalesce(title, item_key) AS title, genres, raw_item_id, score, created_at, run_id, snapshot_id,
    user_key, item_key,
    run_id = arg_max(run_id, (created_at, run_id)) OVER (
        PARTITION BY dataset, retention, coalesce(user_key, raw_user_id::VARCHAR)
    ) AS newest
FROM mart.recommendations
JOIN mart.lineage AS lineage USING (run_id)
LEFT JOIN mart.models AS models ON models.model = lineage.model
JOIN core.items USING (snapshot_id, item_id)
LEFT JOIN raw.user_keys USING (load_id, raw_user_id)
LEFT JOIN raw.item_keys USING (load_id, raw_item_id);
COMMENT ON VIEW main.recommendations IS 'What `fpt recommend` published, with titles: the latest of each training and user.';
COMMENT ON COLUMN main.recommendations.model IS 'Name of the variant, e.g. SAS-FPT.';
COMMENT ON COLUMN main.recommendations.raw_user_id IS 'User number of the archive; of own data, see user_key.';
COMMENT ON COLUMN main.recommendations.rank IS 'Place, from 1.';
COMMENT ON COLUMN main.recommendations.title IS 'Title of the item; the id of one of own data that has none.';
COMMENT ON COLUMN main.recommendations.genres IS 'Its genres, or categories.';
COMMENT ON COLUMN main.recommendations.raw_item_id IS 'Movie number of the archive; of own data, see item_key.';
COMMENT ON COLUMN main.recommendations.run_id IS 'The training that scored (mart.training_runs).';
COMMENT ON COLUMN main.recommendations.user_key IS 'Of own data the user''s id, as the source writes it.';
COMMENT ON COLUMN main.recommendations.item_key IS 'Of own data the item''s id, as the source writes it.';
COMMENT ON COLUMN main.recommendations.newest IS 'Whether it is of the latest list for this user of the data set and retention, whatever training made it.';

CREATE OR REPLACE VIEW main.beyond_accuracy AS
SELECT
    boards.dataset, boards.retention, preset, coalesce(display_name, lists.model) AS model, slice, bucket,
    avg(coverage) AS coverage, avg(gini) AS gini, avg(novelty) AS novelty,
    avg(popularity) AS popularity, avg(profile_popularity) AS profile_popularity,
    avg(popularity_lift) AS popularity_lift, avg(diversity) AS diversity,
    count(*) AS seeds, max(n_users) AS users, snapshot_id
FROM mart.boards AS boards
JOIN mart.beyond_accuracy AS lists USING (snapshot_id, preset)
SEMI JOIN mart.latest_runs AS latest USING (run_id)
WHERE k = 10
GROUP BY ALL;
COMMENT ON VIEW main.beyond_accuracy IS 'What models recommend to test users in the first 10, whether right or not, mean over seeds: one row for each model and part of the users, and everybody. Trainings published by earlier versions have none.';
COMMENT ON COLUMN main.beyond_accuracy.model IS 'Name of the variant, e.g. SAS-FPT.';
COMMENT ON COLUMN main.beyond_accuracy.slice IS 'everybody; or history, popularity or season, as in slices.';
COMMENT ON COLUMN main.beyond_accuracy.seeds IS 'Trainings averaged over, one a seed.';

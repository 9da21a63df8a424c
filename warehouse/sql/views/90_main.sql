-- Views for readers, in the schema where every tool looks first. Each leaves no choice that would mix
-- figures of different kinds: test alone, k = 10 alone, each training as it was trained last, the
-- newest snapshot of each data set, retention and preset, and a protocol is a column, not a row.

-- Snapshots as of some day are of backtests (mart.backtest) and stand beside nothing here.
CREATE OR REPLACE VIEW mart.boards AS
SELECT snapshot_id, dataset, verified, retention, preset
FROM (SELECT DISTINCT snapshot_id, preset FROM mart.latest_runs)
JOIN (SELECT snapshot_id, load_id, retention, publication FROM core.snapshots WHERE as_of IS NULL) USING (snapshot_id)
JOIN (SELECT load_id, dataset, verified FROM raw.loads) USING (load_id)
QUALIFY row_number() OVER (PARTITION BY dataset, retention, preset ORDER BY publication DESC, snapshot_id) = 1;
COMMENT ON VIEW mart.boards IS 'The snapshot that counts for each data set, retention and preset: the newest with a training.';
COMMENT ON COLUMN mart.boards.snapshot_id IS 'The snapshot (core.snapshots).';
COMMENT ON COLUMN mart.boards.dataset IS 'Name of the data set.';
COMMENT ON COLUMN mart.boards.verified IS 'Whether the archive is the publisher''s, or made by us, or it is own data.';
COMMENT ON COLUMN mart.boards.retention IS '5-core or cold-start.';
COMMENT ON COLUMN mart.boards.preset IS 'Named settings of the trainings.';

CREATE OR REPLACE VIEW main.leaderboard AS
WITH figures AS (
    SELECT
        snapshot_id, preset, coalesce(display_name, model) AS model, protocol,
        recall, recall_sd, ndcg, ndcg_sd, n_seeds, n_users, warnings
    FROM mart.leaderboard
    WHERE split = 'test' AND k = 10
    UNION ALL BY NAME
    SELECT snapshot_id, preset, 'popularity' AS model, protocol, recall, ndcg, n_users
    FROM mart.popularity_metrics
    JOIN (SELECT snapshot_id, preset FROM mart.boards) USING (snapshot_id)
    WHERE split = 'test' AND k = 10
)
SELECT
    dataset, retention, preset, model,
    max(recall) FILTER (protocol = 'uniform_100') AS recall_10,
    max(ndcg) FILTER (protocol = 'uniform_100') AS ndcg_10,
    max(recall) FILTER (protocol = 'full') AS full_recall_10,
    max(ndcg) FILTER (protocol = 'full') AS full_ndcg_10,
    max(n_seeds) AS seeds,
    max(recall_sd) FILTER (protocol = 'uniform_100') AS recall_10_sd,
    max(ndcg_sd) FILTER (protocol = 'uniform_100') AS ndcg_10_sd,
    max(recall_sd) FILTER (protocol = 'full') AS full_recall_10_sd,
    max(ndcg_sd) FILTER (protocol = 'full') AS full_ndcg_10_sd,
    max(n_users) AS users,
    nullif(concat_ws('; ',
        max(warnings) FILTER (protocol = 'uniform_100'),
        CASE WHEN max(warnings) FILTER (protocol = 'full') IS DISTINCT FROM max(warnings) FILTER (protocol = 'uniform_100')
            THEN 'full: ' || max(warnings) FILTER (protocol = 'full') END), '') AS warnings,
    verified, snapshot_id
FROM mart.boards
JOIN figures USING (snapshot_id, preset)
GROUP BY ALL;
COMMENT ON VIEW main.leaderboard IS 'One row for each data set, retention, preset and model, and one for popularity, which every model must beat: test metrics at 10, mean over seeds, on the newest snapshot.';
COMMENT ON COLUMN main.leaderboard.dataset IS 'Name of the data set.';
COMMENT ON COLUMN main.leaderboard.retention IS '5-core or cold-start.';
COMMENT ON COLUMN main.leaderboard.preset IS 'Named settings of the trainings.';
COMMENT ON COLUMN main.leaderboard.model IS 'Name of the variant, e.g. SAS-FPT; popularity: items by how often training saw them.';
COMMENT ON COLUMN main.leaderboard.recall_10 IS 'Recall@10 among 100 sampled items.';
COMMENT ON COLUMN main.leaderboard.ndcg_10 IS 'NDCG@10 among 100 sampled items.';
COMMENT ON COLUMN main.leaderboard.full_recall_10 IS 'Recall@10 among all items outside the user''s history, or all where own data keeps all repeats.';
COMMENT ON COLUMN main.leaderboard.full_ndcg_10 IS 'NDCG@10 among all items outside the user''s history, or all where own data keeps all repeats.';
COMMENT ON COLUMN main.leaderboard.seeds IS 'Trainings averaged over, one a seed; null for popularity, which is not trained.';
COMMENT ON COLUMN main.leaderboard.recall_10_sd IS 'Standard deviation of recall_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.ndcg_10_sd IS 'Standard deviation of ndcg_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.full_recall_10_sd IS 'Standard deviation of full_recall_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.full_ndcg_10_sd IS 'Standard deviation of full_ndcg_10 over seeds; null with one seed.';
COMMENT ON COLUMN main.leaderboard.users IS 'Users averaged over.';
COMMENT ON COLUMN main.leaderboard.warnings IS 'What audits suspected of these figures (mart.run_warnings); what differs among all items after full. Null: nothing.';
COMMENT ON COLUMN main.leaderboard.verified IS 'Whether the archive is the publisher''s, or made by us, or it is own data.';
COMMENT ON COLUMN main.leaderboard.snapshot_id IS 'The snapshot (core.snapshots).';

CREATE OR REPLACE VIEW main.runs AS
SELECT
    run_id, dataset, lineage.retention, lineage.preset, coalesce(display_name, lineage.model) AS model,
    lineage.seed,
    max(recall) FILTER (protocol = 'uniform_100') AS recall_10,
    max(ndcg) FILTER (protocol = 'uniform_100') AS ndcg_10,
    max(recall) FILTER (protocol = 'full') AS full_recall_10,
    max(ndcg) FILTER (protocol = 'full') AS full_ndcg_10,
    best_epoch, train_seconds, lineage.device, finished_at, as_of,
    lineage.snapshot_id IN (SELECT snapshot_id FROM mart.boards AS board WHERE board.preset = lineage.preset)
        AND run_id IN (SELECT run_id FROM mart.latest_runs) AS counts,
    lineage.snapshot_id
FROM mart.training_runs
JOIN mart.lineage AS lineage USING (run_id)
LEFT JOIN mart.models AS models ON models.model = lineage.model
JOIN (SELECT run_id, protocol, recall, ndcg FROM mart.run_metrics WHERE split = 'test' AND k = 10) USING (run_id)
WHERE status = 'published'
GROUP BY ALL;
COMMENT ON VIEW main.runs IS 'One row for each published training: test metrics at 10, and what it took.';
COMMENT ON COLUMN main.runs.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN main.runs.dataset IS 'Name of the data set.';
COMMENT ON COLUMN main.runs.retention IS '5-core or cold-start.';
COMMENT ON COLUMN main.runs.preset IS 'Named settings it started from.';
COMMENT ON COLUMN main.runs.model IS 'Name of the variant, e.g. SAS-FPT.';
COMMENT ON COLUMN main.runs.seed IS 'Its seed.';
COMMENT ON COLUMN main.runs.recall_10 IS 'Recall@10 among 100 sampled items.';
COMMENT ON COLUMN main.runs.ndcg_10 IS 'NDCG@10 among 100 sampled items.';
COMMENT ON COLUMN main.runs.full_recall_10 IS 'Recall@10 among all items outside the user''s history, or all where own data keeps all repeats.';
COMMENT ON COLUMN main.runs.full_ndcg_10 IS 'NDCG@10 among all items outside the user''s history, or all where own data keeps all repeats.';
COMMENT ON COLUMN main.runs.best_epoch IS 'The epoch that was evaluated: the best on validation.';
COMMENT ON COLUMN main.runs.train_seconds IS 'Seconds spent training and validating.';
COMMENT ON COLUMN main.runs.device IS 'Device it ran on.';
COMMENT ON COLUMN main.runs.finished_at IS 'When it ended (UTC).';
COMMENT ON COLUMN main.runs.as_of IS 'Only ratings before this day (UTC) were known; null: all of them.';
COMMENT ON COLUMN main.runs.counts IS 'Whether leaderboard averages it: of the newest snapshot, and trained last with its seed.';
COMMENT ON COLUMN main.runs.snapshot_id IS 'What it was trained on (core.snapshots).';

CREATE OR REPLACE VIEW main.slices AS
SELECT
    boards.dataset, boards.retention, preset, coalesce(display_name, slices.model) AS model,
    slice, bucket,
    avg(recall_10) FILTER (protocol = 'uniform_100') AS recall_10,
    avg(ndcg_10) FILTER (protocol = 'uniform_100') AS ndcg_10,
    avg(recall_10) FILTER (protocol = 'full') AS full_recall_10,
    avg(ndcg_10) FILTER (protocol = 'full') AS full_ndcg_10,
    count(*) FILTER (protocol = 'uniform_100') AS seeds,
    max(n_users) AS users, snapshot_id
FROM mart.boards AS boards
JOIN mart.slices AS slices USING (snapshot_id, preset)
SEMI JOIN mart.latest_runs AS latest USING (run_id)
LEFT JOIN mart.models AS models ON models.model = slices.model
WHERE split = 'test'
GROUP BY ALL;
COMMENT ON VIEW main.slices IS 'Test metrics at 10, mean over seeds, by the length of the user''s training history, by how often training saw the held-out item, and by the season it was watched in (UTC).';
COMMENT ON COLUMN main.slices.dataset IS 'Name of the data set.';
COMMENT ON COLUMN main.slices.retention IS '5-core or cold-start.';
COMMENT ON COLUMN main.slices.preset IS 'Named settings of the trainings.';
COMMENT ON COLUMN main.slices.model IS 'Name of the variant, e.g. SAS-FPT.';
COMMENT ON COLUMN main.slices.slice IS 'history, popularity or season.';
COMMENT ON COLUMN main.slices.bucket IS 'The part of it, numbered in order. History and popularity count interactions of the training part.';
COMMENT ON COLUMN main.slices.recall_10 IS 'Recall@10 among 100 sampled items, of the users in it.';
COMMENT ON COLUMN main.slices.ndcg_10 IS 'NDCG@10 among 100 sampled items, of the users in it.';
COMMENT ON COLUMN main.slices.full_recall_10 IS 'Recall@10 among all items outside the user''s history, or all where own data keeps all repeats, of the users in it.';
COMMENT ON COLUMN main.slices.full_ndcg_10 IS 'NDCG@10 among all items outside the user''s history, or all where own data keeps all repeats, of the users in it.';
COMMENT ON COLUMN main.slices.seeds IS 'Trainings averaged over, one a seed.';
COMMENT ON COLUMN main.slices.users IS 'Users in it.';
COMMENT ON COLUMN main.slices.snapshot_id IS 'The snapshot (core.snapshots).';

CREATE OR REPLACE VIEW main.recommendations AS
SELECT
    dataset, retention, preset, coalesce(display_name, lineage.model) AS model, seed,
    raw_user_id, rank, coalesce(title, item_key) AS title, genres, raw_item_id, score, created_at, run_id, snapshot_id,
    user_key, item_key
FROM mart.recommendations
JOIN mart.lineage AS lineage USING (run_id)
LEFT JOIN mart.models AS models ON models.model = lineage.model
JOIN core.items USING (snapshot_id, item_id)
LEFT JOIN raw.user_keys USING (load_id, raw_user_id)
LEFT JOIN raw.item_keys USING (load_id, raw_item_id);
COMMENT ON VIEW main.recommendations IS 'What `fpt recommend` published, with titles: the latest of each training and user.';
COMMENT ON COLUMN main.recommendations.dataset IS 'Name of the data set.';
COMMENT ON COLUMN main.recommendations.retention IS '5-core or cold-start.';
COMMENT ON COLUMN main.recommendations.preset IS 'Named settings of the training.';
COMMENT ON COLUMN main.recommendations.model IS 'Name of the variant, e.g. SAS-FPT.';
COMMENT ON COLUMN main.recommendations.seed IS 'Seed of the training.';
COMMENT ON COLUMN main.recommendations.raw_user_id IS 'User number of the archive; of own data, see user_key.';
COMMENT ON COLUMN main.recommendations.rank IS 'Place, from 1.';
COMMENT ON COLUMN main.recommendations.title IS 'Title of the item; the id of one of own data that has none.';
COMMENT ON COLUMN main.recommendations.genres IS 'Its genres, or categories.';
COMMENT ON COLUMN main.recommendations.raw_item_id IS 'Movie number of the archive; of own data, see item_key.';
COMMENT ON COLUMN main.recommendations.score IS 'The model''s score; comparable within one user and training only.';
COMMENT ON COLUMN main.recommendations.created_at IS 'When it was scored (UTC).';
COMMENT ON COLUMN main.recommendations.run_id IS 'The training that scored (mart.training_runs).';
COMMENT ON COLUMN main.recommendations.snapshot_id IS 'What it was trained on (core.snapshots).';
COMMENT ON COLUMN main.recommendations.user_key IS 'Of own data the user''s id, as the source writes it.';
COMMENT ON COLUMN main.recommendations.item_key IS 'Of own data the item''s id, as the source writes it.';

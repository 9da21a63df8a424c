-- Figures of published trainings, computed once from their ranks: what views of metrics read.
CREATE TABLE IF NOT EXISTS mart.figures_version (version VARCHAR NOT NULL);
COMMENT ON TABLE mart.figures_version IS 'One row: which version of the code made the figures of mart.run_metrics, mart.run_slices, mart.run_pairs, mart.run_lists and mart.popularity_metrics.';
COMMENT ON COLUMN mart.figures_version.version IS 'Hash of the files that define them.';

CREATE TABLE IF NOT EXISTS mart.run_metrics (
    run_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    k INTEGER NOT NULL,
    recall DOUBLE,
    ndcg DOUBLE,
    mrr DOUBLE,
    n_users BIGINT NOT NULL,
    recall_sd DOUBLE,
    ndcg_sd DOUBLE,
    mrr_sd DOUBLE,
    least_recall DOUBLE NOT NULL,
    least_ndcg DOUBLE NOT NULL
);
ALTER TABLE mart.run_metrics ALTER COLUMN recall DROP NOT NULL;  -- of older warehouses
ALTER TABLE mart.run_metrics ALTER COLUMN ndcg DROP NOT NULL;
ALTER TABLE mart.run_metrics ALTER COLUMN mrr DROP NOT NULL;
COMMENT ON TABLE mart.run_metrics IS 'Metrics of each published training and imported model, computed from mart.user_ranks when it was published; mart.metrics shows them beside what was trained.';
COMMENT ON COLUMN mart.run_metrics.least_recall IS 'Recall if every user''s item stood last among the candidates: what holds whatever the model.';

CREATE TABLE IF NOT EXISTS mart.run_slices (
    run_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    slice VARCHAR NOT NULL,
    bucket VARCHAR NOT NULL,
    recall_10 DOUBLE NOT NULL,
    ndcg_10 DOUBLE NOT NULL,
    mrr_10 DOUBLE,
    n_users BIGINT NOT NULL
);
COMMENT ON TABLE mart.run_slices IS 'Metrics at 10 of each published training by parts of its users, computed when it was published; mart.slices shows them beside what was trained.';
COMMENT ON COLUMN mart.run_slices.slice IS 'history, popularity or season, as in mart.slices; short_history: history in finer parts, for cold-start data.';
COMMENT ON COLUMN mart.run_slices.bucket IS 'The part of it, numbered in order.';
COMMENT ON COLUMN mart.run_slices.n_users IS 'Users in it.';

CREATE TABLE IF NOT EXISTS mart.run_pairs (
    run_id VARCHAR NOT NULL,
    other_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    difference DECIMAL(38, 12) NOT NULL,
    squares DECIMAL(38, 24) NOT NULL,
    n_users BIGINT NOT NULL
);
COMMENT ON TABLE mart.run_pairs IS 'Each two trainings or imported models that count (mart.board_runs) of a snapshot and preset, compared user by user: what mart.significance is computed from. A pair stands here once, a training with itself too.';
COMMENT ON COLUMN mart.run_pairs.run_id IS 'The training of the two whose id comes first.';
COMMENT ON COLUMN mart.run_pairs.other_id IS 'The other one.';
COMMENT ON COLUMN mart.run_pairs.difference IS 'Sum over users of the score of the first less that of the other, scores with twelve decimals.';
COMMENT ON COLUMN mart.run_pairs.squares IS 'Sum over users of the squared deviation of that difference from its mean.';
COMMENT ON COLUMN mart.run_pairs.n_users IS 'Users, the same of both.';

CREATE TABLE IF NOT EXISTS mart.run_lists (
    run_id VARCHAR NOT NULL,
    k INTEGER NOT NULL,
    slice VARCHAR NOT NULL,
    bucket VARCHAR NOT NULL,
    coverage DOUBLE NOT NULL,
    gini DOUBLE NOT NULL,
    novelty DOUBLE NOT NULL,
    popularity DOUBLE NOT NULL,
    profile_popularity DOUBLE,
    popularity_lift DOUBLE,
    diversity DOUBLE,
    n_users BIGINT NOT NULL
);
COMMENT ON TABLE mart.run_lists IS 'What the lists of each published training are made of (mart.top_lists), computed when it was published; mart.beyond_accuracy shows it beside what was trained. Trainings published by earlier versions have none.';
COMMENT ON COLUMN mart.run_lists.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.run_lists.k IS 'Length of the lists: 1, 5, 10 or 20.';
COMMENT ON COLUMN mart.run_lists.n_users IS 'Users whose lists they are.';

CREATE TABLE IF NOT EXISTS mart.popularity_metrics (
    snapshot_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    k INTEGER NOT NULL,
    recall DOUBLE NOT NULL,
    ndcg DOUBLE NOT NULL,
    mrr DOUBLE NOT NULL,
    n_users BIGINT NOT NULL,
    recall_sd DOUBLE,
    ndcg_sd DOUBLE,
    mrr_sd DOUBLE,
    least_recall DOUBLE NOT NULL,
    least_ndcg DOUBLE NOT NULL
);
COMMENT ON TABLE mart.popularity_metrics IS 'What every model must beat: metrics of ranking items by how often training saw them, of the same users, held-out items and candidates.';
COMMENT ON COLUMN mart.popularity_metrics.recall IS 'Share of users whose held-out item is among the first k, by mart.user_ranks.rank <= k; with one held-out item a user this is the hit rate.';
COMMENT ON COLUMN mart.popularity_metrics.ndcg IS 'Mean of 1 / log2(rank + 1) within the first k, else 0.';
COMMENT ON COLUMN mart.popularity_metrics.mrr IS 'Mean of 1 / rank within the first k, else 0; with one held-out item a user this is MAP too.';
COMMENT ON COLUMN mart.popularity_metrics.least_recall IS 'Recall if every user''s item stood last among the candidates: what holds whatever is ranked.';

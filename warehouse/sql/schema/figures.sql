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
COMMENT ON COLUMN mart.run_metrics.run_id IS 'The training (mart.training_runs), or the imported model (mart.imports).';
COMMENT ON COLUMN mart.run_metrics.split IS 'valid or test.';
COMMENT ON COLUMN mart.run_metrics.protocol IS 'uniform_100: among 100 sampled items; full: among all items.';
COMMENT ON COLUMN mart.run_metrics.k IS 'Cut-off: 1, 5, 10 or 20.';
COMMENT ON COLUMN mart.run_metrics.recall IS 'Share of users whose held-out item is among the first k, by mart.user_ranks.rank <= k; with one held-out item a user this is the hit rate. Null where an imported top list ends before k.';
COMMENT ON COLUMN mart.run_metrics.ndcg IS 'Mean of 1 / log2(rank + 1) within the first k, else 0; null where an imported top list ends before k.';
COMMENT ON COLUMN mart.run_metrics.mrr IS 'Mean of 1 / rank within the first k, else 0; with one held-out item a user this is MAP too. Of imported top lists MRR@k is known where the list reaches k, else null; MRR over all ranks is not known.';
COMMENT ON COLUMN mart.run_metrics.n_users IS 'Users averaged over.';
COMMENT ON COLUMN mart.run_metrics.recall_sd IS 'Standard deviation of recall over users; null with one user.';
COMMENT ON COLUMN mart.run_metrics.ndcg_sd IS 'Standard deviation of NDCG over users; null with one user.';
COMMENT ON COLUMN mart.run_metrics.mrr_sd IS 'Standard deviation of MRR over users; null with one user.';
COMMENT ON COLUMN mart.run_metrics.least_recall IS 'Recall if every user''s item stood last among the candidates: what holds whatever the model.';
COMMENT ON COLUMN mart.run_metrics.least_ndcg IS 'NDCG if every user''s item stood last among the candidates.';

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
COMMENT ON COLUMN mart.run_slices.run_id IS 'The training (mart.training_runs), or the imported model (mart.imports).';
COMMENT ON COLUMN mart.run_slices.split IS 'valid or test.';
COMMENT ON COLUMN mart.run_slices.protocol IS 'uniform_100: among 100 sampled items; full: among all items.';
COMMENT ON COLUMN mart.run_slices.slice IS 'history, popularity or season, as in mart.slices; short_history: history in finer parts, for cold-start data.';
COMMENT ON COLUMN mart.run_slices.bucket IS 'The part of it, numbered in order.';
COMMENT ON COLUMN mart.run_slices.recall_10 IS 'Recall@10 of the users in it.';
COMMENT ON COLUMN mart.run_slices.ndcg_10 IS 'NDCG@10 of the users in it.';
COMMENT ON COLUMN mart.run_slices.mrr_10 IS 'MRR@10 of the users in it.';
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
COMMENT ON COLUMN mart.run_pairs.split IS 'valid or test.';
COMMENT ON COLUMN mart.run_pairs.protocol IS 'uniform_100: among 100 sampled items; full: among all items.';
COMMENT ON COLUMN mart.run_pairs.metric IS 'recall_10, ndcg_10 or mrr_10.';
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
COMMENT ON COLUMN mart.run_lists.slice IS 'everybody; or history, popularity or season, as in mart.slices.';
COMMENT ON COLUMN mart.run_lists.bucket IS 'The part of it, numbered in order. Lists of fewer users cover less: compare models within a part, not parts.';
COMMENT ON COLUMN mart.run_lists.coverage IS 'Catalogue coverage: share of the snapshot''s items that stand in somebody''s list.';
COMMENT ON COLUMN mart.run_lists.gini IS 'Gini index of how often each item of the snapshot is listed, those never listed included: 0, all as often; 1 - 1 / items, one item alone.';
COMMENT ON COLUMN mart.run_lists.novelty IS 'Mean self-information of what is listed, in bits: -log2 of the share of training users who have the item; an item that training never saw counts as had by one.';
COMMENT ON COLUMN mart.run_lists.popularity IS 'Average recommendation popularity (ARP): mean share of training users who have what is listed.';
COMMENT ON COLUMN mart.run_lists.profile_popularity IS 'Mean over the same users of the mean share of training users who have what they took themselves in training; null where none of them trained.';
COMMENT ON COLUMN mart.run_lists.popularity_lift IS 'popularity / profile_popularity - 1: above 0, the model shows users more popular items than they take.';
COMMENT ON COLUMN mart.run_lists.diversity IS 'Intra-list diversity: mean over the pairs of a list of 1 - genres shared / genres of either (Jaccard); pairs without genres are left out; null where there is no pair.';
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
COMMENT ON COLUMN mart.popularity_metrics.snapshot_id IS 'The prepared data (core.snapshots).';
COMMENT ON COLUMN mart.popularity_metrics.split IS 'valid or test.';
COMMENT ON COLUMN mart.popularity_metrics.protocol IS 'uniform_100: among 100 sampled items; full: among all items.';
COMMENT ON COLUMN mart.popularity_metrics.k IS 'Cut-off: 1, 5, 10 or 20.';
COMMENT ON COLUMN mart.popularity_metrics.recall IS 'Share of users whose held-out item is among the first k, by mart.user_ranks.rank <= k; with one held-out item a user this is the hit rate.';
COMMENT ON COLUMN mart.popularity_metrics.ndcg IS 'Mean of 1 / log2(rank + 1) within the first k, else 0.';
COMMENT ON COLUMN mart.popularity_metrics.mrr IS 'Mean of 1 / rank within the first k, else 0; with one held-out item a user this is MAP too.';
COMMENT ON COLUMN mart.popularity_metrics.n_users IS 'Users averaged over.';
COMMENT ON COLUMN mart.popularity_metrics.recall_sd IS 'Standard deviation of recall over users; null with one user.';
COMMENT ON COLUMN mart.popularity_metrics.ndcg_sd IS 'Standard deviation of NDCG over users; null with one user.';
COMMENT ON COLUMN mart.popularity_metrics.mrr_sd IS 'Standard deviation of MRR over users; null with one user.';
COMMENT ON COLUMN mart.popularity_metrics.least_recall IS 'Recall if every user''s item stood last among the candidates: what holds whatever is ranked.';
COMMENT ON COLUMN mart.popularity_metrics.least_ndcg IS 'NDCG if every user''s item stood last among the candidates.';

CREATE OR REPLACE VIEW mart.beyond_accuracy AS
SELECT
    run_id, model, display_name, dataset, data, verified, snapshot_id, retention, preset, seed, as_of,
    k, slice, bucket, coverage, gini, novelty, popularity, profile_popularity,
    popularity_lift, diversity, n_users
FROM mart.run_lists
JOIN (SELECT run_id FROM mart.training_runs WHERE status = 'published') USING (run_id)
JOIN mart.lineage USING (run_id)
LEFT JOIN mart.models USING (model);
COMMENT ON VIEW mart.beyond_accuracy IS 'What models recommend, whether right or not: coverage, novelty, popularity bias, Gini index and diversity of the first k for every test user (mart.top_lists). Trainings published by earlier versions have none.';
COMMENT ON COLUMN mart.beyond_accuracy.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.beyond_accuracy.model IS 'Slug of the variant.';
COMMENT ON COLUMN mart.beyond_accuracy.display_name IS 'Name of the variant in tables.';
COMMENT ON COLUMN mart.beyond_accuracy.dataset IS 'Name of the data set.';
COMMENT ON COLUMN mart.beyond_accuracy.data IS 'The data set, marked where its archive is unverified.';
COMMENT ON COLUMN mart.beyond_accuracy.verified IS 'Whether the archive has the publisher''s checksum, or is the synthetic one, made here from a seed.';
COMMENT ON COLUMN mart.beyond_accuracy.snapshot_id IS 'What it was trained on (core.snapshots).';
COMMENT ON COLUMN mart.beyond_accuracy.retention IS '5-core or cold-start.';
COMMENT ON COLUMN mart.beyond_accuracy.preset IS 'Named settings it started from.';
COMMENT ON COLUMN mart.beyond_accuracy.seed IS 'Its seed.';
COMMENT ON COLUMN mart.beyond_accuracy.as_of IS 'Only ratings before this day (UTC) were known; null: all of them.';
COMMENT ON COLUMN mart.beyond_accuracy.k IS 'Length of the lists: 1, 5, 10 or 20.';
COMMENT ON COLUMN mart.beyond_accuracy.slice IS 'everybody; or history, popularity or season, as in mart.slices.';
COMMENT ON COLUMN mart.beyond_accuracy.bucket IS 'The part of it, numbered in order. Lists of fewer users cover less: compare models within a part, not parts.';
COMMENT ON COLUMN mart.beyond_accuracy.coverage IS 'Catalogue coverage: share of the snapshot''s items that stand in somebody''s list.';
COMMENT ON COLUMN mart.beyond_accuracy.gini IS 'Gini index of how often each item of the snapshot is listed, those never listed included: 0, all as often; 1 - 1 / items, one item alone.';
COMMENT ON COLUMN mart.beyond_accuracy.novelty IS 'Mean self-information of what is listed, in bits: -log2 of the share of training users who have the item; an item that training never saw counts as had by one.';
COMMENT ON COLUMN mart.beyond_accuracy.popularity IS 'Average recommendation popularity (ARP): mean share of training users who have what is listed.';
COMMENT ON COLUMN mart.beyond_accuracy.profile_popularity IS 'Mean over the same users of the mean share of training users who have what they took themselves in training; null where none of them trained.';
COMMENT ON COLUMN mart.beyond_accuracy.popularity_lift IS 'popularity / profile_popularity - 1: above 0, the model shows users more popular items than they take.';
COMMENT ON COLUMN mart.beyond_accuracy.diversity IS 'Intra-list diversity: mean over the pairs of a list of 1 - genres shared / genres of either (Jaccard); pairs without genres are left out; null where there is no pair.';
COMMENT ON COLUMN mart.beyond_accuracy.n_users IS 'Users whose lists they are.';

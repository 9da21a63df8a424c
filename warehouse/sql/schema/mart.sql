-- What people ask questions of: runs, ranks, audits.
CREATE SCHEMA IF NOT EXISTS mart;

CREATE TABLE IF NOT EXISTS mart.catalogue (
    publication BIGINT NOT NULL,
    version VARCHAR NOT NULL,
    root VARCHAR NOT NULL
);
COMMENT ON TABLE mart.catalogue IS 'One row: which publication this file is, and where the files are that its views read.';
COMMENT ON COLUMN mart.catalogue.publication IS 'Number of the publication; each is one more than the one before.';
COMMENT ON COLUMN mart.catalogue.version IS 'Hash of the code that made its tables and views.';
COMMENT ON COLUMN mart.catalogue.root IS 'The home: after it has moved, the next command names its files anew.';

CREATE TABLE IF NOT EXISTS mart.files (
    table_name VARCHAR NOT NULL,
    id VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    bytes BIGINT NOT NULL,
    rows BIGINT NOT NULL
);
COMMENT ON TABLE mart.files IS 'The immutable files behind the bulky tables, which are views: a row a file.';
COMMENT ON COLUMN mart.files.table_name IS 'The table whose rows it holds.';
COMMENT ON COLUMN mart.files.id IS 'The load, snapshot or training whose rows they are.';
COMMENT ON COLUMN mart.files.path IS 'Where it is, relative to the home.';
COMMENT ON COLUMN mart.files.sha256 IS 'SHA-256 of its bytes; the name of the file begins so.';
COMMENT ON COLUMN mart.files.bytes IS 'Its size.';
COMMENT ON COLUMN mart.files.rows IS 'Rows in it.';

CREATE TABLE IF NOT EXISTS mart.withdrawn (
    id VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    publication BIGINT NOT NULL
);
COMMENT ON TABLE mart.withdrawn IS 'Of a lake what was taken out of it, so that each of its homes deletes what it has of that; without one, empty.';
COMMENT ON COLUMN mart.withdrawn.id IS 'The load, snapshot, training or import. What was pruned may have been made again since.';
COMMENT ON COLUMN mart.withdrawn.reason IS 'forgotten (`fpt forget`) or pruned (`fpt prune`).';
COMMENT ON COLUMN mart.withdrawn.publication IS 'Number of the publication that took it out (mart.catalogue).';

CREATE TABLE IF NOT EXISTS mart.training_runs (
    run_id VARCHAR PRIMARY KEY,
    snapshot_id VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    preset VARCHAR NOT NULL,
    seed INTEGER NOT NULL,
    config JSON NOT NULL,
    device VARCHAR NOT NULL,
    code_version VARCHAR NOT NULL,
    versions JSON NOT NULL,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP NOT NULL,
    train_seconds DOUBLE NOT NULL,
    best_epoch INTEGER NOT NULL,
    checkpoint_sha256 VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    failure VARCHAR,
    publication BIGINT NOT NULL
);
COMMENT ON TABLE mart.training_runs IS 'One row for each training; published ones have ranks.';
COMMENT ON COLUMN mart.training_runs.run_id IS 'Hash of the sequences, the configuration, the seed and the model''s code.';
COMMENT ON COLUMN mart.training_runs.model IS 'Slug of the variant, e.g. sas_fpt.';
COMMENT ON COLUMN mart.training_runs.preset IS 'Named settings it started from, e.g. paper; with what was changed by hand, e.g. quick item_width=64.';
COMMENT ON COLUMN mart.training_runs.seed IS 'Seed of everything random in the training.';
COMMENT ON COLUMN mart.training_runs.config IS 'Every setting, as used, by the names of the code that trained.';
COMMENT ON COLUMN mart.training_runs.device IS 'Device it ran on, e.g. cpu or the GPU''s name.';
COMMENT ON COLUMN mart.training_runs.versions IS 'Versions of Python and the libraries it ran with.';
COMMENT ON COLUMN mart.training_runs.started_at IS 'When training started (UTC).';
COMMENT ON COLUMN mart.training_runs.finished_at IS 'When it ended (UTC).';
COMMENT ON COLUMN mart.training_runs.train_seconds IS 'Seconds spent training and validating, over all attempts, by a monotonic clock.';
COMMENT ON COLUMN mart.training_runs.best_epoch IS 'Epoch with the best validation NDCG@10 among 100 sampled items: the one evaluated; of a simple model, the choice of settings with the best among all items; 0 for a failed run.';
COMMENT ON COLUMN mart.training_runs.checkpoint_sha256 IS 'SHA-256 of the evaluated weights; empty for a failed run.';
COMMENT ON COLUMN mart.training_runs.status IS 'published or failed.';
COMMENT ON COLUMN mart.training_runs.failure IS 'Why it failed; null for a published run.';
COMMENT ON COLUMN mart.training_runs.publication IS 'Number of the publication that brought it (mart.catalogue): the greater, the later, whatever clocks say.';

CREATE TABLE IF NOT EXISTS mart.imports (
    run_id VARCHAR PRIMARY KEY,
    snapshot_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    known_to INTEGER,
    trained_on VARCHAR,
    promise VARCHAR,
    file VARCHAR NOT NULL,
    file_sha256 VARCHAR NOT NULL,
    n_rows BIGINT NOT NULL,
    n_users BIGINT NOT NULL,
    n_without BIGINT NOT NULL,
    n_seen BIGINT NOT NULL,
    n_left_out BIGINT NOT NULL,
    imported_at TIMESTAMP NOT NULL,
    publication BIGINT NOT NULL,
    splits VARCHAR[]
);
COMMENT ON TABLE mart.imports IS 'Models of somebody else, of which scores were imported (`fpt import-scores`): a row a file. Nothing here was trained by us: there is no seed, no configuration and no weights.';
COMMENT ON COLUMN mart.imports.run_id IS 'Hash of the file''s bytes, the snapshot, what its owner says of it, and the code that ranks it: its ranks are in mart.user_ranks.';
COMMENT ON COLUMN mart.imports.kind IS 'all: scores of all items; candidates: of the 100 sampled items; top: lists of the best items.';
COMMENT ON COLUMN mart.imports.known_to IS 'Of top lists: the place up to which ranks are known, the length of the shortest list without its held-out item; null: all ranks are known.';
COMMENT ON COLUMN mart.imports.trained_on IS 'What its owner says that it was trained on: train, or train+valid; null: not said.';
COMMENT ON COLUMN mart.imports.promise IS 'What else its owner promises of its training; null: nothing.';
COMMENT ON COLUMN mart.imports.file IS 'Name of the file.';
COMMENT ON COLUMN mart.imports.file_sha256 IS 'SHA-256 of its bytes.';
COMMENT ON COLUMN mart.imports.n_rows IS 'Rows in it.';
COMMENT ON COLUMN mart.imports.n_users IS 'Held-out items ranked by it: users, times the splits that it has.';
COMMENT ON COLUMN mart.imports.n_without IS 'Of these, those of users without a list, who count as misses.';
COMMENT ON COLUMN mart.imports.n_seen IS 'Rows with items of the user''s own history, which count for nothing.';
COMMENT ON COLUMN mart.imports.n_left_out IS 'Rows with users or items that the snapshot is without.';
COMMENT ON COLUMN mart.imports.imported_at IS 'When (UTC).';
COMMENT ON COLUMN mart.imports.publication IS 'Number of the publication that brought it (mart.catalogue): of a name, the latest of each split counts.';
COMMENT ON COLUMN mart.imports.splits IS 'The splits that it has ranks of: valid, test, or both.';

CREATE TABLE IF NOT EXISTS mart.epochs (
    run_id VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    train_loss DOUBLE,
    valid_recall_10 DOUBLE,
    valid_ndcg_10 DOUBLE,
    seconds DOUBLE NOT NULL
);
ALTER TABLE mart.epochs ALTER COLUMN train_loss DROP NOT NULL;  -- of older warehouses
COMMENT ON TABLE mart.epochs IS 'Learning curves; of a simple model, the settings that were tried on validation.';
COMMENT ON COLUMN mart.epochs.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.epochs.epoch IS 'Epoch, from 1; of a simple model, number of the choice of settings.';
COMMENT ON COLUMN mart.epochs.train_loss IS 'Mean training loss of the epoch; null of a simple model, which has none.';
COMMENT ON COLUMN mart.epochs.valid_recall_10 IS 'Recall@10 on validation among 100 sampled items; null where the epoch was not validated.';
COMMENT ON COLUMN mart.epochs.valid_ndcg_10 IS 'NDCG@10 on validation among 100 sampled items; null where the epoch was not validated.';
COMMENT ON COLUMN mart.epochs.seconds IS 'Seconds the epoch took, validation included.';

CREATE TABLE IF NOT EXISTS mart.user_ranks (
    run_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    rank FLOAT NOT NULL,
    n_candidates INTEGER NOT NULL
);
COMMENT ON TABLE mart.user_ranks IS 'Rank of each user''s held-out item: every metric is computed from these.';
COMMENT ON COLUMN mart.user_ranks.protocol IS 'uniform_100: among 100 sampled items; full: among all items outside the user''s history, or all where own data keeps all repeats.';
COMMENT ON COLUMN mart.user_ranks.rank IS '1 + candidates scored higher + half of those scored equal; infinity: outside of an imported top list, a miss up to mart.imports.known_to and unknown beyond.';
COMMENT ON COLUMN mart.user_ranks.n_candidates IS 'Items ranked, the held-out one included.';

CREATE TABLE IF NOT EXISTS mart.top_lists (
    run_id VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    item_id INTEGER NOT NULL
);
COMMENT ON TABLE mart.top_lists IS 'What a training puts first for each test user, after the history before the test item: the first 20 of what the rank of protocol full is among. Not what fpt recommend publishes (mart.recommendations), which is made from the whole history.';
COMMENT ON COLUMN mart.top_lists.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.top_lists.rank IS 'Place, from 1 to 20; equal scores in the order of their items.';
COMMENT ON COLUMN mart.top_lists.item_id IS 'Item id in the snapshot (core.items): none of the user''s other items, perhaps the held-out one.';

CREATE TABLE IF NOT EXISTS mart.validation_results (
    audit_id VARCHAR NOT NULL,
    table_name VARCHAR NOT NULL,
    expectation VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    success BOOLEAN NOT NULL,
    observed VARCHAR,
    unexpected_count BIGINT,
    sample JSON,
    reason VARCHAR NOT NULL,
    load_id VARCHAR,
    snapshot_id VARCHAR,
    run_id VARCHAR,
    checked_at TIMESTAMP NOT NULL,
    name VARCHAR
);
ALTER TABLE mart.validation_results ADD COLUMN IF NOT EXISTS name VARCHAR;  -- of older warehouses
COMMENT ON TABLE mart.validation_results IS 'One row for each expectation of each audit, failed ones too.';
COMMENT ON COLUMN mart.validation_results.audit_id IS 'One audit of one table.';
COMMENT ON COLUMN mart.validation_results.table_name IS 'The table that was checked.';
COMMENT ON COLUMN mart.validation_results.expectation IS 'What was expected, in words and with its parameters.';
COMMENT ON COLUMN mart.validation_results.severity IS 'critical stops the run; warning and info are reported.';
COMMENT ON COLUMN mart.validation_results.success IS 'Whether it held.';
COMMENT ON COLUMN mart.validation_results.observed IS 'What was seen.';
COMMENT ON COLUMN mart.validation_results.unexpected_count IS 'Rows against it; null where it does not count rows.';
COMMENT ON COLUMN mart.validation_results.sample IS 'Up to five offending rows.';
COMMENT ON COLUMN mart.validation_results.reason IS 'Why this is expected.';
COMMENT ON COLUMN mart.validation_results.load_id IS 'The load that was checked; null for other audits.';
COMMENT ON COLUMN mart.validation_results.snapshot_id IS 'The snapshot that was checked; null for other audits.';
COMMENT ON COLUMN mart.validation_results.run_id IS 'The training that was checked; null for other audits.';
COMMENT ON COLUMN mart.validation_results.checked_at IS 'When (UTC).';
COMMENT ON COLUMN mart.validation_results.name IS 'Name of a suspicion, by which it can be accepted (--accept); null for what is exact.';

CREATE TABLE IF NOT EXISTS mart.run_warnings (
    run_id VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    k INTEGER,
    seen JSON NOT NULL,
    audit_id VARCHAR NOT NULL,
    found_at TIMESTAMP NOT NULL,
    accepted_at TIMESTAMP
);
COMMENT ON TABLE mart.run_warnings IS 'What audits suspected of trainings: statistics that are no proof. Accepted by name (--accept), they raise no alarm, and stay marked as accepted.';
COMMENT ON COLUMN mart.run_warnings.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.run_warnings.name IS 'too-good: everybody''s target among the first; below-chance: worse than chance and popularity; few-candidates: Recall@k holds mostly whatever the model.';
COMMENT ON COLUMN mart.run_warnings.split IS 'valid, test, or next: what really came next (mart.next_ranks).';
COMMENT ON COLUMN mart.run_warnings.k IS 'The cut-off in question; null: the whole training is suspected.';
COMMENT ON COLUMN mart.run_warnings.seen IS 'The figures behind it.';
COMMENT ON COLUMN mart.run_warnings.audit_id IS 'The audit that found it (mart.validation_results).';
COMMENT ON COLUMN mart.run_warnings.found_at IS 'When (UTC).';
COMMENT ON COLUMN mart.run_warnings.accepted_at IS 'When somebody accepted it by name (UTC); null: nobody has.';

CREATE TABLE IF NOT EXISTS mart.recommendations (
    run_id VARCHAR NOT NULL,
    raw_user_id BIGINT NOT NULL,
    user_id INTEGER,
    rank INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    score FLOAT NOT NULL,
    created_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE mart.recommendations IS 'What a training recommends next, after a user''s whole history: the latest answer of fpt recommend for each.';
COMMENT ON COLUMN mart.recommendations.run_id IS 'The training that scored (mart.training_runs).';
COMMENT ON COLUMN mart.recommendations.user_id IS 'User id in the training''s snapshot; null for a user that the snapshot left out.';
COMMENT ON COLUMN mart.recommendations.rank IS 'Place, from 1; items of the user''s history are left out, but where own data keeps all repeats.';
COMMENT ON COLUMN mart.recommendations.item_id IS 'Item id in the training''s snapshot (core.items).';

CREATE TABLE IF NOT EXISTS mart.next_targets (
    snapshot_id VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    raw_item_id BIGINT NOT NULL,
    item_id INTEGER,
    timestamp BIGINT NOT NULL,
    waited_seconds BIGINT NOT NULL
);
COMMENT ON TABLE mart.next_targets IS 'What really came next after a snapshot as of some day: one row for each user who came back.';
COMMENT ON COLUMN mart.next_targets.snapshot_id IS 'The snapshot, which knows nothing of it (core.snapshots).';
COMMENT ON COLUMN mart.next_targets.item_id IS 'Item id in the snapshot; null where it does not know the item, so that no model of it can name it.';
COMMENT ON COLUMN mart.next_targets.timestamp IS 'When it came, seconds since 1970-01-01 00:00 UTC.';
COMMENT ON COLUMN mart.next_targets.waited_seconds IS 'Seconds since the user''s last interaction in the snapshot.';

CREATE TABLE IF NOT EXISTS mart.next_ranks (
    run_id VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    rank FLOAT NOT NULL,
    n_candidates INTEGER NOT NULL
);
COMMENT ON TABLE mart.next_ranks IS 'Rank of what really came next (mart.next_targets), where the snapshot knows the item.';
COMMENT ON COLUMN mart.next_ranks.run_id IS 'The training (mart.training_runs), of a snapshot as of some day.';
COMMENT ON COLUMN mart.next_ranks.protocol IS 'uniform_100: among 100 sampled items; full: among all items outside the user''s history, or all where own data keeps all repeats.';
COMMENT ON COLUMN mart.next_ranks.rank IS '1 + candidates scored higher + half of those scored equal.';
COMMENT ON COLUMN mart.next_ranks.n_candidates IS 'Items ranked, the one that came included.';

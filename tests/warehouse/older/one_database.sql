-- The tables of the version that kept all in one database, as commit adfa516 made them.
-- What the archives say, unchanged. One load = one archive, identified by its bytes.
CREATE SCHEMA IF NOT EXISTS raw;

CREATE TABLE IF NOT EXISTS raw.loads (
    load_id VARCHAR PRIMARY KEY,
    dataset VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    source_sha256 VARCHAR NOT NULL,
    verified BOOLEAN NOT NULL,
    loaded_at TIMESTAMP NOT NULL,
    n_ratings BIGINT NOT NULL,
    n_users BIGINT NOT NULL,
    n_items BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS raw.ratings (
    load_id VARCHAR NOT NULL,
    source_row BIGINT NOT NULL,
    raw_user_id BIGINT NOT NULL,
    raw_item_id BIGINT NOT NULL,
    rating FLOAT NOT NULL,
    timestamp BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS raw.items (
    load_id VARCHAR NOT NULL,
    raw_item_id BIGINT NOT NULL,
    title VARCHAR NOT NULL,
    genres VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS raw.users (
    load_id VARCHAR NOT NULL,
    raw_user_id BIGINT NOT NULL,
    gender VARCHAR,
    age VARCHAR,
    occupation VARCHAR
);

CREATE TABLE IF NOT EXISTS raw.rejects (
    load_id VARCHAR NOT NULL,
    member VARCHAR NOT NULL,
    source_row BIGINT NOT NULL,
    line VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);
-- Interactions as the models see them. One snapshot = one load under one retention rule.
CREATE SCHEMA IF NOT EXISTS core;

CREATE TABLE IF NOT EXISTS core.snapshots (
    snapshot_id VARCHAR PRIMARY KEY,
    load_id VARCHAR NOT NULL,
    retention VARCHAR NOT NULL,
    n_users BIGINT NOT NULL,
    n_items BIGINT NOT NULL,
    n_interactions BIGINT NOT NULL,
    n_duplicates BIGINT NOT NULL,
    sequences_path VARCHAR NOT NULL,
    sequences_sha256 VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL,
    as_of DATE
);

CREATE TABLE IF NOT EXISTS core.interactions (
    snapshot_id VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    rating FLOAT NOT NULL,
    timestamp BIGINT NOT NULL,
    position INTEGER NOT NULL,
    split VARCHAR NOT NULL,
    scaled_interval BIGINT,
    week TINYINT NOT NULL
);

CREATE TABLE IF NOT EXISTS core.items (
    snapshot_id VARCHAR NOT NULL,
    item_id INTEGER NOT NULL,
    raw_item_id BIGINT NOT NULL,
    title VARCHAR,
    genres VARCHAR,
    n_train BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS core.users (
    snapshot_id VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    raw_user_id BIGINT NOT NULL,
    n_interactions BIGINT NOT NULL,
    n_train BIGINT NOT NULL,
    time_scale BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS core.candidates (
    snapshot_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    item_ids INTEGER[] NOT NULL
);
-- What people ask questions of: runs, ranks, audits.
CREATE SCHEMA IF NOT EXISTS mart;

CREATE TABLE IF NOT EXISTS mart.schema_version (version VARCHAR NOT NULL);

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
    failure VARCHAR
);

CREATE TABLE IF NOT EXISTS mart.epochs (
    run_id VARCHAR NOT NULL,
    epoch INTEGER NOT NULL,
    train_loss DOUBLE NOT NULL,
    valid_recall_10 DOUBLE,
    valid_ndcg_10 DOUBLE,
    seconds DOUBLE NOT NULL
);

CREATE TABLE IF NOT EXISTS mart.user_ranks (
    run_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    rank FLOAT NOT NULL,
    n_candidates INTEGER NOT NULL
);

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
    checked_at TIMESTAMP NOT NULL
);

CREATE TABLE IF NOT EXISTS mart.recommendations (
    run_id VARCHAR NOT NULL,
    raw_user_id BIGINT NOT NULL,
    user_id INTEGER,
    rank INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    score FLOAT NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE IF NOT EXISTS mart.next_targets (
    snapshot_id VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    raw_item_id BIGINT NOT NULL,
    item_id INTEGER,
    timestamp BIGINT NOT NULL,
    waited_seconds BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS mart.next_ranks (
    run_id VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    rank FLOAT NOT NULL,
    n_candidates INTEGER NOT NULL
);

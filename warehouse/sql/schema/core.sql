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
    as_of DATE,
    publication BIGINT NOT NULL,
    repeats VARCHAR
);
COMMENT ON TABLE core.snapshots IS 'One row for each snapshot: a load prepared with one retention, which models are trained on.';
COMMENT ON COLUMN core.snapshots.snapshot_id IS 'Hash of the load, the settings of the preparation and its code.';
COMMENT ON COLUMN core.snapshots.retention IS '5-core: users and items with fewer than five interactions removed until none is left; cold-start: nothing removed.';
COMMENT ON COLUMN core.snapshots.n_users IS 'Users kept; their ids are 1 to n_users.';
COMMENT ON COLUMN core.snapshots.n_items IS 'Items kept; their ids are 1 to n_items (0 is padding).';
COMMENT ON COLUMN core.snapshots.n_interactions IS 'Rows in core.interactions.';
COMMENT ON COLUMN core.snapshots.n_duplicates IS 'Repeated (user, item) pairs that were dropped: the earliest is kept, or what the description of own data says.';
COMMENT ON COLUMN core.snapshots.sequences_path IS 'The sequences file handed to training, relative to the home.';
COMMENT ON COLUMN core.snapshots.sequences_sha256 IS 'SHA-256 of the sequences file.';
COMMENT ON COLUMN core.snapshots.created_at IS 'When it was prepared (UTC).';
COMMENT ON COLUMN core.snapshots.as_of IS 'Only ratings before this day (UTC) are in it; null: all of them.';
COMMENT ON COLUMN core.snapshots.repeats IS 'Which of a user''s interactions with the same item are in it: first, last or all; null, of earlier versions: first.';

CREATE TABLE IF NOT EXISTS core.interactions (
    snapshot_id VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    item_id INTEGER NOT NULL,
    rating FLOAT,
    timestamp BIGINT NOT NULL,
    position INTEGER NOT NULL,
    split VARCHAR NOT NULL,
    scaled_interval BIGINT,
    week TINYINT NOT NULL
);
COMMENT ON TABLE core.interactions IS 'Every kept interaction in its user''s order, with its split and time features.';
COMMENT ON COLUMN core.interactions.item_id IS 'Item id in the snapshot, from 1.';
COMMENT ON COLUMN core.interactions.rating IS 'Stars, or own data''s rating, null where there is none; the sequences file has them in half stars, 1 to 10, own scales stretched to that.';
COMMENT ON COLUMN core.interactions.position IS 'Place in the user''s history, from 1, ordered by timestamp, then source row.';
COMMENT ON COLUMN core.interactions.split IS 'train, valid (last but one) or test (last); users with fewer than three interactions only train.';
COMMENT ON COLUMN core.interactions.scaled_interval IS 'Whole multiples of the user''s time scale since the interaction before; null for the first.';
COMMENT ON COLUMN core.interactions.week IS 'ISO week of the year in UTC, 1 to 52 (week 53 counts as 52).';

CREATE TABLE IF NOT EXISTS core.items (
    snapshot_id VARCHAR NOT NULL,
    item_id INTEGER NOT NULL,
    raw_item_id BIGINT NOT NULL,
    title VARCHAR,
    genres VARCHAR,
    n_train BIGINT NOT NULL
);
COMMENT ON TABLE core.items IS 'Items of a snapshot.';
COMMENT ON COLUMN core.items.item_id IS 'Item id in the snapshot, from 1, in the order of raw_item_id.';
COMMENT ON COLUMN core.items.title IS 'Title; null where the archive names none.';
COMMENT ON COLUMN core.items.genres IS 'Genres joined by |; null where the archive names none.';
COMMENT ON COLUMN core.items.n_train IS 'Interactions in the training part: its popularity.';

CREATE TABLE IF NOT EXISTS core.users (
    snapshot_id VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    raw_user_id BIGINT NOT NULL,
    n_interactions BIGINT NOT NULL,
    n_train BIGINT NOT NULL,
    time_scale BIGINT NOT NULL
);
COMMENT ON TABLE core.users IS 'Users of a snapshot.';
COMMENT ON COLUMN core.users.user_id IS 'User id in the snapshot, from 1, in the order of raw_user_id.';
COMMENT ON COLUMN core.users.n_interactions IS 'Length of the whole history.';
COMMENT ON COLUMN core.users.n_train IS 'Interactions in the training part.';
COMMENT ON COLUMN core.users.time_scale IS 'Shortest non-zero gap in seconds between neighbours of the training part; 1 when there is none.';

CREATE TABLE IF NOT EXISTS core.candidates (
    snapshot_id VARCHAR NOT NULL,
    split VARCHAR NOT NULL,
    user_id INTEGER NOT NULL,
    item_ids INTEGER[] NOT NULL
);
COMMENT ON TABLE core.candidates IS 'The 100 sampled items that each held-out item is ranked among (protocol uniform_100), drawn once for a snapshot.';
COMMENT ON COLUMN core.candidates.item_ids IS 'Up to 100 distinct items outside the user''s whole history; the held-out item is not among them. Where own data keeps all repeats: any items but the held-out one.';

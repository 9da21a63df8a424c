-- What the sources say, unchanged. One load = one archive, or one source of own data, identified by
-- its bytes.
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
    n_items BIGINT NOT NULL,
    publication BIGINT NOT NULL
);
COMMENT ON TABLE raw.loads IS 'One row for each load: an archive, or a source of own data, that was landed.';
COMMENT ON COLUMN raw.loads.load_id IS 'Hash of the data set''s name, the source''s bytes, of own data its description, and the code that parsed them.';
COMMENT ON COLUMN raw.loads.dataset IS 'Name of the data set, as given to --dataset.';
COMMENT ON COLUMN raw.loads.source IS 'File name or address the archive came from; of own data the name of the file or folder.';
COMMENT ON COLUMN raw.loads.source_sha256 IS 'SHA-256 of the bytes as parsed; of several files, of the lines that sha256sum writes of them, by name.';
COMMENT ON COLUMN raw.loads.verified IS 'Whether the archive has the publisher''s checksum, or is the synthetic one, made here from a seed. Own data has no publisher but its owner, and counts as verified.';
COMMENT ON COLUMN raw.loads.loaded_at IS 'When it was landed (UTC).';
COMMENT ON COLUMN raw.loads.n_ratings IS 'Rows in raw.ratings.';
COMMENT ON COLUMN raw.loads.n_users IS 'Distinct users among the ratings.';
COMMENT ON COLUMN raw.loads.n_items IS 'Distinct items among the ratings.';

CREATE TABLE IF NOT EXISTS raw.ratings (
    load_id VARCHAR NOT NULL,
    source_row BIGINT NOT NULL,
    raw_user_id BIGINT NOT NULL,
    raw_item_id BIGINT NOT NULL,
    rating FLOAT,
    timestamp BIGINT NOT NULL
);
COMMENT ON TABLE raw.ratings IS 'The ratings file, or the events of own data, row by row.';
COMMENT ON COLUMN raw.ratings.source_row IS 'Line in the ratings file, from 1 (a header line is line 1), or row of own data; breaks ties of equal timestamps.';
COMMENT ON COLUMN raw.ratings.rating IS 'Stars; of own data as the source has it, null where it has none.';

CREATE TABLE IF NOT EXISTS raw.items (
    load_id VARCHAR NOT NULL,
    raw_item_id BIGINT NOT NULL,
    title VARCHAR,
    genres VARCHAR NOT NULL
);
COMMENT ON TABLE raw.items IS 'The movies file, or the items file of own data; empty without one.';
COMMENT ON COLUMN raw.items.title IS 'Title as the source writes it, in MovieLens with its year; null where own data has none.';
COMMENT ON COLUMN raw.items.genres IS 'Genres, or categories, joined by |; empty when none is known.';

CREATE TABLE IF NOT EXISTS raw.users (
    load_id VARCHAR NOT NULL,
    raw_user_id BIGINT NOT NULL,
    gender VARCHAR,
    age VARCHAR,
    occupation VARCHAR
);
COMMENT ON TABLE raw.users IS 'The users file; without one (CSV layouts, own data), the user numbers among the ratings.';
COMMENT ON COLUMN raw.users.gender IS 'As the archive writes it; null where it has none.';
COMMENT ON COLUMN raw.users.age IS 'Age or age bracket as the archive writes it; null where it has none.';
COMMENT ON COLUMN raw.users.occupation IS 'Occupation or its code as the archive writes it; null where it has none.';

CREATE TABLE IF NOT EXISTS raw.rejects (
    load_id VARCHAR NOT NULL,
    member VARCHAR NOT NULL,
    source_row BIGINT NOT NULL,
    line VARCHAR NOT NULL,
    reason VARCHAR NOT NULL
);
COMMENT ON TABLE raw.rejects IS 'Lines of the archive, or rows of own data, that could not be taken, quarantined.';
COMMENT ON COLUMN raw.rejects.member IS 'File within the archive, or of own data.';
COMMENT ON COLUMN raw.rejects.source_row IS 'Line in that file, or row of it, from 1.';
COMMENT ON COLUMN raw.rejects.line IS 'The line itself, at most 200 characters of it; a row of own data as its user, item, time and rating.';
COMMENT ON COLUMN raw.rejects.reason IS 'Why it was not taken.';

CREATE TABLE IF NOT EXISTS raw.user_keys (
    load_id VARCHAR NOT NULL,
    raw_user_id BIGINT NOT NULL,
    user_key VARCHAR NOT NULL
);
COMMENT ON TABLE raw.user_keys IS 'Users of own data: the number that stands for each id of the source. MovieLens needs none.';
COMMENT ON COLUMN raw.user_keys.raw_user_id IS 'The number, from 1 in the order of the ids; another load may give another.';
COMMENT ON COLUMN raw.user_keys.user_key IS 'The id, as the source writes it.';

CREATE TABLE IF NOT EXISTS raw.item_keys (
    load_id VARCHAR NOT NULL,
    raw_item_id BIGINT NOT NULL,
    item_key VARCHAR NOT NULL
);
COMMENT ON TABLE raw.item_keys IS 'Items of own data: the number that stands for each id of the source. MovieLens needs none.';
COMMENT ON COLUMN raw.item_keys.raw_item_id IS 'The number, from 1 in the order of the ids; another load may give another.';
COMMENT ON COLUMN raw.item_keys.item_key IS 'The id, as the source writes it.';

CREATE TABLE IF NOT EXISTS raw.descriptions (
    load_id VARCHAR PRIMARY KEY,
    repeats VARCHAR NOT NULL,
    rating_low DOUBLE,
    rating_high DOUBLE,
    description VARCHAR NOT NULL
);
COMMENT ON TABLE raw.descriptions IS 'One row for each load of own data: how it was described. MovieLens needs none.';
COMMENT ON COLUMN raw.descriptions.repeats IS 'Which of a user''s interactions with the same item count: first, last or all.';
COMMENT ON COLUMN raw.descriptions.rating_low IS 'The least rating that can be given; null without ratings.';
COMMENT ON COLUMN raw.descriptions.rating_high IS 'The greatest rating that can be given; null without ratings.';
COMMENT ON COLUMN raw.descriptions.description IS 'The whole description, as JSON.';

CREATE TABLE IF NOT EXISTS raw.forgotten (
    dataset VARCHAR NOT NULL,
    raw_user_id BIGINT,
    forgotten_at TIMESTAMP NOT NULL,
    user_key VARCHAR
);
COMMENT ON TABLE raw.forgotten IS 'Users who are left out of every load of a data set from now on (`fpt forget`).';
COMMENT ON COLUMN raw.forgotten.raw_user_id IS 'User number of the archive: all that is kept of them; null for own data, whose numbers differ between loads.';
COMMENT ON COLUMN raw.forgotten.forgotten_at IS 'When (UTC).';
COMMENT ON COLUMN raw.forgotten.user_key IS 'Of own data the user''s id, as the source writes it: all that is kept of them.';

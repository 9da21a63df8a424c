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
    n_items BIGINT NOT NULL,
    publication BIGINT NOT NULL
);
COMMENT ON TABLE raw.loads IS 'One row for each load: an archive that was landed.';
COMMENT ON COLUMN raw.loads.load_id IS 'Hash of the data set''s name, the archive''s bytes and the code that parsed them.';
COMMENT ON COLUMN raw.loads.dataset IS 'Name of the data set, as given to --dataset.';
COMMENT ON COLUMN raw.loads.source IS 'File name or address the archive came from.';
COMMENT ON COLUMN raw.loads.source_sha256 IS 'SHA-256 of the archive''s bytes, as parsed.';
COMMENT ON COLUMN raw.loads.verified IS 'Whether the archive has the publisher''s checksum, or is the synthetic one, made here from a seed.';
COMMENT ON COLUMN raw.loads.loaded_at IS 'When it was landed (UTC).';
COMMENT ON COLUMN raw.loads.n_ratings IS 'Rows in raw.ratings.';
COMMENT ON COLUMN raw.loads.n_users IS 'Distinct users among the ratings.';
COMMENT ON COLUMN raw.loads.n_items IS 'Distinct items among the ratings.';
COMMENT ON COLUMN raw.loads.publication IS 'Number of the publication that brought it (mart.catalogue): the greater, the later.';

CREATE TABLE IF NOT EXISTS raw.ratings (
    load_id VARCHAR NOT NULL,
    source_row BIGINT NOT NULL,
    raw_user_id BIGINT NOT NULL,
    raw_item_id BIGINT NOT NULL,
    rating FLOAT NOT NULL,
    timestamp BIGINT NOT NULL
);
COMMENT ON TABLE raw.ratings IS 'The ratings file, row by row.';
COMMENT ON COLUMN raw.ratings.load_id IS 'The load it belongs to (raw.loads).';
COMMENT ON COLUMN raw.ratings.source_row IS 'Line in the ratings file, from 1 (a header line is line 1); breaks ties of equal timestamps.';
COMMENT ON COLUMN raw.ratings.raw_user_id IS 'User number of the archive.';
COMMENT ON COLUMN raw.ratings.raw_item_id IS 'Movie number of the archive.';
COMMENT ON COLUMN raw.ratings.rating IS 'Stars.';
COMMENT ON COLUMN raw.ratings.timestamp IS 'Seconds since 1970-01-01 00:00 UTC.';

CREATE TABLE IF NOT EXISTS raw.items (
    load_id VARCHAR NOT NULL,
    raw_item_id BIGINT NOT NULL,
    title VARCHAR NOT NULL,
    genres VARCHAR NOT NULL
);
COMMENT ON TABLE raw.items IS 'The movies file.';
COMMENT ON COLUMN raw.items.load_id IS 'The load it belongs to (raw.loads).';
COMMENT ON COLUMN raw.items.raw_item_id IS 'Movie number of the archive.';
COMMENT ON COLUMN raw.items.title IS 'Title with year, as the archive writes it.';
COMMENT ON COLUMN raw.items.genres IS 'Genres joined by |; empty when none is known.';

CREATE TABLE IF NOT EXISTS raw.users (
    load_id VARCHAR NOT NULL,
    raw_user_id BIGINT NOT NULL,
    gender VARCHAR,
    age VARCHAR,
    occupation VARCHAR
);
COMMENT ON TABLE raw.users IS 'The users file; without one (CSV layouts), the user numbers among the ratings.';
COMMENT ON COLUMN raw.users.load_id IS 'The load it belongs to (raw.loads).';
COMMENT ON COLUMN raw.users.raw_user_id IS 'User number of the archive.';
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
COMMENT ON TABLE raw.rejects IS 'Lines of the archive that could not be taken, quarantined.';
COMMENT ON COLUMN raw.rejects.load_id IS 'The load it belongs to (raw.loads).';
COMMENT ON COLUMN raw.rejects.member IS 'File within the archive.';
COMMENT ON COLUMN raw.rejects.source_row IS 'Line in that file, from 1.';
COMMENT ON COLUMN raw.rejects.line IS 'The line itself, at most 200 characters of it.';
COMMENT ON COLUMN raw.rejects.reason IS 'Why it was not taken.';

CREATE TABLE IF NOT EXISTS raw.forgotten (
    dataset VARCHAR NOT NULL,
    raw_user_id BIGINT NOT NULL,
    forgotten_at TIMESTAMP NOT NULL
);
COMMENT ON TABLE raw.forgotten IS 'Users who are left out of every load of a data set from now on (`fpt forget`).';
COMMENT ON COLUMN raw.forgotten.dataset IS 'Name of the data set.';
COMMENT ON COLUMN raw.forgotten.raw_user_id IS 'User number of the archive: all that is kept of them.';
COMMENT ON COLUMN raw.forgotten.forgotten_at IS 'When (UTC).';

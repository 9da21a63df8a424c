CREATE OR REPLACE VIEW mart.lineage AS
SELECT
    run_id, model, preset, seed, code_version, device, checkpoint_sha256,
    snapshot_id, retention, sequences_sha256,
    load_id, dataset, source, source_sha256, verified,
    dataset || CASE WHEN verified THEN '' ELSE ' (unverified: ' || source || ')' END AS data,
    as_of
FROM mart.training_runs
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id);
COMMENT ON VIEW mart.lineage IS 'From every training down to the checksum of the archive behind it.';
COMMENT ON COLUMN mart.lineage.run_id IS 'The training (mart.training_runs).';
COMMENT ON COLUMN mart.lineage.model IS 'Slug of the variant.';
COMMENT ON COLUMN mart.lineage.preset IS 'Named settings it started from.';
COMMENT ON COLUMN mart.lineage.seed IS 'Its seed.';
COMMENT ON COLUMN mart.lineage.code_version IS 'Hash of the model package''s source.';
COMMENT ON COLUMN mart.lineage.device IS 'Device it ran on.';
COMMENT ON COLUMN mart.lineage.checkpoint_sha256 IS 'SHA-256 of the evaluated weights.';
COMMENT ON COLUMN mart.lineage.snapshot_id IS 'What it was trained on (core.snapshots).';
COMMENT ON COLUMN mart.lineage.retention IS '5-core or cold-start.';
COMMENT ON COLUMN mart.lineage.sequences_sha256 IS 'SHA-256 of the sequences file it read.';
COMMENT ON COLUMN mart.lineage.load_id IS 'The load behind the snapshot (raw.loads).';
COMMENT ON COLUMN mart.lineage.dataset IS 'Name of the data set.';
COMMENT ON COLUMN mart.lineage.source IS 'File name or address of the archive; of own data the name of the file or folder.';
COMMENT ON COLUMN mart.lineage.source_sha256 IS 'SHA-256 of the archive, or of own data.';
COMMENT ON COLUMN mart.lineage.verified IS 'Whether the archive has the publisher''s checksum, or is the synthetic one, made here from a seed, or it is own data.';
COMMENT ON COLUMN mart.lineage.data IS 'The data set, marked where its archive is unverified.';
COMMENT ON COLUMN mart.lineage.as_of IS 'Only ratings before this day (UTC) were known; null: all of them.';

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
COMMENT ON COLUMN mart.lineage.checkpoint_sha256 IS 'SHA-256 of the evaluated weights.';
COMMENT ON COLUMN mart.lineage.sequences_sha256 IS 'SHA-256 of the sequences file it read.';
COMMENT ON COLUMN mart.lineage.source IS 'File name or address of the archive; of own data the name of the file or folder.';
COMMENT ON COLUMN mart.lineage.source_sha256 IS 'SHA-256 of the archive, or of own data.';
COMMENT ON COLUMN mart.lineage.verified IS 'Whether the archive has the publisher''s checksum, or is the synthetic one, made here from a seed, or it is own data.';

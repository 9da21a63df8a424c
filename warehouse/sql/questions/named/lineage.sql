-- Every test NDCG@10 down to the checksums of its weights, its sequences and the archive behind them.
-- first: `fpt run`
SELECT
    round(ndcg, 4) AS ndcg_10, display_name AS model, metrics.preset, metrics.seed, run_id,
    checkpoint_sha256, code_version, device, metrics.snapshot_id, metrics.retention,
    sequences_sha256, load_id, source, source_sha256,
    CASE WHEN NOT lineage.verified THEN 'unverified: not the publisher''s checksum'
         WHEN lineage.dataset = 'synthetic' THEN 'made here from a seed'
         WHEN load_id IN (SELECT load_id FROM raw.descriptions) THEN 'own data'
         ELSE 'the publisher''s checksum' END AS archive,
    warnings
FROM mart.metrics AS metrics
JOIN mart.lineage AS lineage USING (run_id)
WHERE split = 'test' AND protocol = 'uniform_100' AND k = 10
ORDER BY lineage.dataset, metrics.retention, metrics.preset, ndcg DESC, run_id

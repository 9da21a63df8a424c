-- Scaled intervals between neighbours of the training part, by their power of two; -1 is none at all.
SELECT
    snapshot_id,
    CASE WHEN scaled_interval = 0 THEN -1 ELSE floor(log2(scaled_interval))::INTEGER END AS power,
    count(*) AS n
FROM core.interactions
WHERE scaled_interval IS NOT NULL AND split = 'train'
GROUP BY ALL
ORDER BY ALL

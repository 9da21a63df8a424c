-- frame: recommendations of one training; $1: snapshot. Rows that must not be published.
-- What a user has had is wrong, unless items come again.
WITH seen AS (
    SELECT raw_user_id, raw_item_id FROM raw.ratings
    JOIN (SELECT load_id, as_of, repeats FROM core.snapshots WHERE snapshot_id = $1) USING (load_id)
    WHERE (as_of IS NULL OR timestamp < epoch(as_of)) AND repeats IS DISTINCT FROM 'all'
)
SELECT raw_user_id, rank, frame.item_id, 'is in the user''s history' AS problem
FROM frame
JOIN (SELECT item_id, raw_item_id FROM core.items WHERE snapshot_id = $1) USING (item_id)
SEMI JOIN seen USING (raw_user_id, raw_item_id)
UNION ALL
SELECT raw_user_id, rank, item_id, 'is no item of the snapshot' FROM frame
ANTI JOIN (SELECT item_id FROM core.items WHERE snapshot_id = $1) USING (item_id)
UNION ALL
SELECT raw_user_id, rank, item_id, 'stands in the wrong place' FROM frame
QUALIFY rank <> row_number() OVER (PARTITION BY raw_user_id ORDER BY score DESC, item_id)
    OR count(*) OVER (PARTITION BY raw_user_id, item_id) > 1 OR NOT isfinite(score)
ORDER BY ALL
LIMIT 5

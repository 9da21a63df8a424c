-- $run_id, $split, $protocol. The rank of each held-out item, with the ids that the data set has.
CREATE TEMP TABLE ranks AS
SELECT
    user_id, coalesce(user_key, raw_user_id::VARCHAR) AS user_key,
    coalesce(item_key, raw_item_id::VARCHAR) AS item_key, rank, n_candidates
FROM (SELECT * FROM mart.user_ranks WHERE run_id = $run_id AND split = $split AND protocol = $protocol)
JOIN (SELECT user_id, raw_user_id FROM core.users WHERE snapshot_id = $snapshot_id) USING (user_id)
JOIN (
    SELECT user_id, raw_item_id
    FROM core.interactions JOIN core.items USING (snapshot_id, item_id)
    WHERE snapshot_id = $snapshot_id AND split = $split
) USING (user_id)
LEFT JOIN (
    SELECT raw_user_id, user_key FROM raw.user_keys JOIN core.snapshots USING (load_id) WHERE snapshot_id = $snapshot_id
) USING (raw_user_id)
LEFT JOIN (
    SELECT raw_item_id, item_key FROM raw.item_keys JOIN core.snapshots USING (load_id) WHERE snapshot_id = $snapshot_id
) USING (raw_item_id)

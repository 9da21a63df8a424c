-- $run_id, $split, $protocol. The rank of each held-out item, with the ids that the archive has.
CREATE TEMP TABLE ranks AS
SELECT user_id, raw_user_id, raw_item_id, rank, n_candidates
FROM (SELECT * FROM mart.user_ranks WHERE run_id = $run_id AND split = $split AND protocol = $protocol)
JOIN (SELECT user_id, raw_user_id FROM core.users WHERE snapshot_id = $snapshot_id) USING (user_id)
JOIN (
    SELECT user_id, raw_item_id
    FROM core.interactions JOIN core.items USING (snapshot_id, item_id)
    WHERE snapshot_id = $snapshot_id AND split = $split
) USING (user_id)

-- $load_id, $snapshot_id, $forgotten: users who are left out of every load. What the load knows, by
-- its own ids, as text: those of own data, or an archive's numbers. user_id and item_id are null
-- where the snapshot is without them.
CREATE TABLE known_users AS
SELECT user_key, user_id, coalesce(n_interactions >= 3, false) AS evaluated
FROM (
    SELECT coalesce(user_key, raw_user_id::VARCHAR) AS user_key, raw_user_id
    FROM (
        SELECT raw_user_id FROM raw.ratings WHERE load_id = $load_id
        UNION SELECT raw_user_id FROM raw.users WHERE load_id = $load_id
    )
    LEFT JOIN (SELECT raw_user_id, user_key FROM raw.user_keys WHERE load_id = $load_id) USING (raw_user_id)
    UNION ALL
    SELECT unnest($forgotten::VARCHAR[]), NULL
)
LEFT JOIN (SELECT * FROM core.users WHERE snapshot_id = $snapshot_id) USING (raw_user_id);

CREATE TABLE known_items AS
SELECT coalesce(item_key, raw_item_id::VARCHAR) AS item_key, item_id
FROM (
    SELECT raw_item_id FROM raw.ratings WHERE load_id = $load_id
    UNION SELECT raw_item_id FROM raw.items WHERE load_id = $load_id
)
LEFT JOIN (SELECT raw_item_id, item_key FROM raw.item_keys WHERE load_id = $load_id) USING (raw_item_id)
LEFT JOIN (SELECT * FROM core.items WHERE snapshot_id = $snapshot_id) USING (raw_item_id);

-- $comes_again: whether what users have had may come again, and is a candidate like any other.
-- Of whom a rank is wanted: users with held-out items, what they had, and what was drawn for them.
CREATE TABLE history AS
SELECT DISTINCT user_id, item_id
FROM core.interactions
WHERE snapshot_id = $snapshot_id AND user_id IN (SELECT user_id FROM known_users WHERE evaluated)
    AND NOT $comes_again;

CREATE TABLE wanted AS
SELECT
    split, user_id, item_id AS target, n_items - coalesce(n_seen, 1) AS n_unseen,  -- the target is none
    coalesce(len(item_ids), 0) AS n_drawn
FROM (SELECT * FROM core.interactions WHERE snapshot_id = $snapshot_id AND split <> 'train')
SEMI JOIN (SELECT user_id FROM known_users WHERE evaluated) USING (user_id)
LEFT JOIN (SELECT user_id, count(*) AS n_seen FROM history GROUP BY user_id) USING (user_id)
LEFT JOIN (SELECT * FROM core.candidates WHERE snapshot_id = $snapshot_id) USING (split, user_id)
CROSS JOIN (SELECT count(*) AS n_items FROM core.items WHERE snapshot_id = $snapshot_id);

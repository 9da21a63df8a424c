-- $1: load of own data. A few ids of users.
SELECT user_key FROM raw.user_keys WHERE load_id = $1 ORDER BY raw_user_id LIMIT 3

-- $1: snapshot. A user with a history that fits on a page.
SELECT raw_user_id FROM core.users WHERE snapshot_id = $1
ORDER BY abs(n_interactions - 24), user_id LIMIT 1

-- Every snapshot: its size, density, median history, and what was dropped on the way.
-- first: `fpt prepare`
SELECT
    dataset, retention, snapshots.n_users AS users, snapshots.n_items AS items,
    n_interactions AS interactions, n_ratings - n_interactions AS dropped,
    round(100.0 * n_interactions / (snapshots.n_users * snapshots.n_items), 2) AS percent_filled,
    (SELECT median(n_interactions) FROM core.users AS users
     WHERE users.snapshot_id = snapshots.snapshot_id) AS median_history,
    verified, snapshot_id
FROM core.snapshots AS snapshots
JOIN raw.loads USING (load_id)
ORDER BY dataset, retention, snapshots.publication, snapshot_id

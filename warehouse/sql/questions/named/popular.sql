-- The ten items of each snapshot that were taken most often in training: what every model must beat.
SELECT dataset, retention, row_number() OVER every AS place, title, genres, n_train AS times_taken
FROM core.items
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
WINDOW every AS (PARTITION BY snapshot_id ORDER BY n_train DESC, item_id)
QUALIFY place <= 10
ORDER BY dataset, retention, snapshot_id, place

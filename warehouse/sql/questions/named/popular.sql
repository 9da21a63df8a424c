-- The items of each snapshot that training saw most often; their row in the leaderboard is popularity.
-- $dataset = all: name of the data set
-- $retention = all: 5-core or cold-start
-- $k = 10: how many of each
-- first: `fpt run`
SELECT dataset, retention, row_number() OVER every AS place, coalesce(title, item_key) AS title, genres, n_train AS times_taken
FROM core.items
JOIN core.snapshots USING (snapshot_id)
JOIN raw.loads USING (load_id)
LEFT JOIN raw.item_keys USING (load_id, raw_item_id)
WHERE ($dataset IS NULL OR dataset = $dataset) AND ($retention IS NULL OR retention = $retention)
WINDOW every AS (PARTITION BY snapshot_id ORDER BY n_train DESC, item_id)
QUALIFY place <= $k
ORDER BY dataset, retention, snapshot_id, place

-- $1: snapshot. Users from $2 on and before $3. The rank of each held-out item when items are ranked by how often training saw them:
-- 1 + candidates seen more often + half of those seen as often. Where items come again, all others
-- are candidates, else those outside of the history.
WITH items AS (
    SELECT item_id, n_train FROM core.items WHERE snapshot_id = $1
), history AS (
    SELECT user_id, item_id, split, n_train
    FROM (
        SELECT user_id, item_id, split FROM core.interactions
        WHERE snapshot_id = $1 AND user_id >= $2 AND user_id < $3
    )
    JOIN items USING (item_id)
), held AS (
    SELECT split, user_id, n_train FROM history WHERE split <> 'train'
), counts AS (
    SELECT
        n_train, count(*) AS as_often,
        sum(count(*)) OVER (ORDER BY n_train DESC) - count(*) AS more_often,
        (SELECT count(*) FROM items) AS n_items
    FROM items GROUP BY n_train
), again AS (
    SELECT coalesce(bool_or(repeats = 'all'), false) AS comes_again FROM core.snapshots WHERE snapshot_id = $1
), known AS (  -- what is no candidate, the item that is held out too
    SELECT
        held.split, user_id, held.n_train, count(*) AS n_items,
        count(*) FILTER (history.n_train > held.n_train) AS more_often,
        count(*) FILTER (history.n_train = held.n_train) AS as_often
    FROM held JOIN history USING (user_id)
    WHERE NOT (SELECT comes_again FROM again)
    GROUP BY ALL
    UNION ALL
    SELECT split, user_id, n_train, 1, 0, 1 FROM held WHERE (SELECT comes_again FROM again)
), drawn AS (
    SELECT split, user_id, unnest(item_ids) AS item_id FROM core.candidates
    WHERE snapshot_id = $1 AND user_id >= $2 AND user_id < $3
)
SELECT
    split, 'full' AS protocol, user_id,
    1 + (counts.more_often - known.more_often) + (counts.as_often - known.as_often) / 2 AS rank,
    1 + counts.n_items - known.n_items AS n_candidates
FROM known JOIN counts USING (n_train)
UNION ALL
SELECT
    split, 'uniform_100', user_id,
    1 + count(*) FILTER (items.n_train > held.n_train)
      + count(*) FILTER (items.n_train = held.n_train) / 2,
    1 + count(items.item_id)
FROM held
LEFT JOIN drawn USING (split, user_id)
LEFT JOIN items USING (item_id)
GROUP BY split, user_id

-- $1: snapshot. What ranking by popularity alone gives on test: the row that every model must beat. A
-- held-out item's rank is 1 + those that training saw more often + half of those seen as often, among
-- its stored candidates, and among all items but the user's own; intervals are over users.
WITH held AS (
    SELECT user_id, n_train AS taken
    FROM core.interactions JOIN core.items AS items USING (snapshot_id, item_id)
    WHERE snapshot_id = $1 AND split = 'test'
), drawn AS (
    SELECT user_id, unnest(item_ids) AS item_id
    FROM core.candidates WHERE snapshot_id = $1 AND split = 'test'
), among_drawn AS (
    SELECT
        user_id, count(*) FILTER (n_train > taken) AS above, count(*) FILTER (n_train = taken) AS beside
    FROM held
    LEFT JOIN drawn USING (user_id)
    LEFT JOIN (SELECT item_id, n_train FROM core.items WHERE snapshot_id = $1) USING (item_id)
    GROUP BY user_id
), levels AS (
    SELECT
        n_train AS taken, count(*) AS beside,
        sum(count(*)) OVER (ORDER BY n_train DESC ROWS UNBOUNDED PRECEDING) - count(*) AS above
    FROM core.items WHERE snapshot_id = $1 GROUP BY n_train
), known AS (
    SELECT
        user_id, count(*) FILTER (n_train > taken) AS above, count(*) FILTER (n_train = taken) AS beside
    FROM core.interactions
    JOIN held USING (user_id)
    JOIN (SELECT item_id, n_train FROM core.items WHERE snapshot_id = $1) USING (item_id)
    WHERE snapshot_id = $1
    GROUP BY user_id
), among_all AS (
    -- the held-out item is one of those known to be seen as often as itself
    SELECT user_id, levels.above - known.above AS above, levels.beside - known.beside AS beside
    FROM held JOIN levels USING (taken) JOIN known USING (user_id)
), ranks AS (
    SELECT 'uniform_100' AS protocol, 1 + above + beside / 2 AS rank FROM among_drawn
    UNION ALL
    SELECT 'full', 1 + above + beside / 2 FROM among_all
), scores AS (
    SELECT
        protocol, (rank <= 10)::DOUBLE AS recall,
        CASE WHEN rank <= 10 THEN 1 / log2(rank + 1) ELSE 0 END AS ndcg
    FROM ranks
)
SELECT
    protocol, count(*) AS n_users,
    avg(recall) AS recall, 1.96 * stddev_samp(recall) / sqrt(count(*)) AS recall_margin,
    avg(ndcg) AS ndcg, 1.96 * stddev_samp(ndcg) / sqrt(count(*)) AS ndcg_margin
FROM scores
GROUP BY protocol
ORDER BY protocol DESC

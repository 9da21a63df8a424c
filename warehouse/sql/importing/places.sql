-- A row for each user of whom a rank is wanted in a split that the file has: how many of the others
-- it scores, among all unseen items and among those drawn, and how many it puts above the target.
-- Of items of the history none but the target counts.
CREATE TABLE places AS
WITH own AS (
    SELECT split, user_id, target, score AS own, n_unseen, n_drawn
    FROM wanted
    LEFT JOIN (SELECT split, user_id, item_id AS target, score FROM scored) USING (split, user_id, target)
    WHERE split IN (SELECT DISTINCT split FROM scored)
), rows_of AS (
    SELECT split, user_id, count(*) AS n_scored FROM scored GROUP BY split, user_id
), unseen AS (
    SELECT
        split, user_id, count(*) AS n_scored_unseen,
        count(*) FILTER (score > own) AS above, count(*) FILTER (score = own) AS equal
    FROM scored
    JOIN own USING (split, user_id)
    ANTI JOIN history USING (user_id, item_id)
    WHERE item_id <> target
    GROUP BY split, user_id
), drawn AS (
    SELECT
        split, user_id, count(*) AS n_scored_drawn,
        count(*) FILTER (score > own) AS drawn_above, count(*) FILTER (score = own) AS drawn_equal
    FROM scored
    JOIN own USING (split, user_id)
    JOIN (
        SELECT split, user_id, unnest(item_ids) AS item_id
        FROM core.candidates WHERE snapshot_id = $snapshot_id
    ) USING (split, user_id, item_id)
    GROUP BY split, user_id
)
SELECT
    split, user_id, own IS NOT NULL AS has_target, n_unseen, n_drawn,
    coalesce(n_scored, 0) AS n_scored,
    coalesce(n_scored_unseen, 0) AS n_scored_unseen, coalesce(above, 0) AS above, coalesce(equal, 0) AS equal,
    coalesce(n_scored_drawn, 0) AS n_scored_drawn, coalesce(drawn_above, 0) AS drawn_above,
    coalesce(drawn_equal, 0) AS drawn_equal
FROM own
LEFT JOIN rows_of USING (split, user_id)
LEFT JOIN unseen USING (split, user_id)
LEFT JOIN drawn USING (split, user_id)

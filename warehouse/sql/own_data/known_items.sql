SELECT
    count(*) AS items_described,
    count(*) FILTER (title IS NOT NULL) AS items_with_title,
    (
        SELECT count(DISTINCT item_key) FROM own_events
        WHERE reason IS NULL AND item_key NOT IN (SELECT item_key FROM own_items WHERE reason IS NULL)
    ) AS items_not_described
FROM own_items WHERE reason IS NULL

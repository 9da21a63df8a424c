SELECT
    count(*) FILTER (reason IS NULL) AS rows_taken,
    count(*) FILTER (reason IS NOT NULL) AS rows_refused,
    count(DISTINCT user_key) FILTER (reason IS NULL) AS users,
    count(DISTINCT item_key) FILTER (reason IS NULL) AS items,
    CAST(make_timestamp(1000000 * min(timestamp) FILTER (reason IS NULL)) AS DATE)::VARCHAR AS first_day,
    CAST(make_timestamp(1000000 * max(timestamp) FILTER (reason IS NULL)) AS DATE)::VARCHAR AS last_day,
    printf('%g to %g', min(rating) FILTER (reason IS NULL)::DOUBLE, max(rating) FILTER (reason IS NULL)::DOUBLE)
        AS ratings
FROM own_events

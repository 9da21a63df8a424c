-- Rows of the file that are counted before any is used.
SELECT
    count(*) AS n_rows,
    count(*) FILTER (given_user IS NULL OR given_item IS NULL OR score IS NULL) AS n_empty,
    count(*) FILTER (NOT isfinite(score::DOUBLE)) AS n_not_finite,
    count(*) FILTER (split IS NULL OR split NOT IN ('valid', 'test')) AS n_other_splits,
    count(*) FILTER (given_user IS NOT NULL AND user_key IS NULL) AS n_unknown_users,
    count(*) FILTER (given_item IS NOT NULL AND item_key IS NULL) AS n_unknown_items,
    count(*) FILTER (user_key IS NOT NULL AND NOT evaluated) AS n_users_left_out,
    count(*) FILTER (evaluated AND item_key IS NOT NULL AND item_id IS NULL) AS n_items_left_out
FROM given
LEFT JOIN user_keys ON given_user = user_key
LEFT JOIN item_keys ON given_item = item_key

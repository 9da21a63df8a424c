-- Landing takes no number that would not fit.
SELECT
    source_row::INTEGER AS source_row, raw_user_id::INTEGER AS raw_user_id,
    raw_item_id::INTEGER AS raw_item_id, rating, timestamp
FROM raw.ratings WHERE load_id = $1

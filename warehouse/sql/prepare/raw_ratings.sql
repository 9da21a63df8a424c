SELECT source_row, raw_user_id, raw_item_id, rating, timestamp FROM raw.ratings WHERE load_id = $1

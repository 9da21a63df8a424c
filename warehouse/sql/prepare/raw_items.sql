SELECT raw_item_id, title, genres FROM raw.items WHERE load_id = $1

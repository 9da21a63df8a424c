INSERT INTO raw.users BY NAME
SELECT DISTINCT $load_id AS load_id, raw_user_id FROM raw.ratings ORDER BY raw_user_id

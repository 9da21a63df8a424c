-- forgotten: users whose rows are left out; a line that could not be read begins with its user
DELETE FROM raw.users WHERE raw_user_id IN (SELECT raw_user_id FROM forgotten);
DELETE FROM raw.rejects
WHERE TRY_CAST(regexp_extract(line, '^\D*(\d+)', 1) AS BIGINT) IN (SELECT raw_user_id FROM forgotten);

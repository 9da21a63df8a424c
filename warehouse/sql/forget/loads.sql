-- $1: data set, $2: user. Loads with a row of the user, a rejected line too.
SELECT load_id FROM raw.loads
WHERE dataset = $1 AND (
    load_id IN (SELECT load_id FROM raw.ratings WHERE raw_user_id = $2)
    OR load_id IN (SELECT load_id FROM raw.users WHERE raw_user_id = $2)
    OR load_id IN (
        SELECT load_id FROM raw.rejects WHERE TRY_CAST(regexp_extract(line, '^\D*(\d+)', 1) AS BIGINT) = $2
    )
)
ORDER BY load_id

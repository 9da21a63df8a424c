-- $1: own data set, $2: user's id. Loads with a row of the user, a rejected one too, or one that may be.
SELECT load_id FROM raw.loads
WHERE dataset = $1 AND (
    load_id IN (SELECT load_id FROM raw.user_keys WHERE user_key = $2)
    OR load_id IN (
        SELECT load_id FROM raw.rejects SEMI JOIN raw.descriptions USING (load_id)
        WHERE own_may_name(line, $2)
    )
)
ORDER BY load_id

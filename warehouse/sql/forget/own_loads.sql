-- $1: own data set, $2: user's id. Loads with a row of the user, a rejected one too, or one that may be.
-- A row of the file of items is nobody's, though its first field may be the same word.
SELECT load_id FROM raw.loads
WHERE dataset = $1 AND (
    load_id IN (SELECT load_id FROM raw.user_keys WHERE user_key = $2)
    OR load_id IN (
        SELECT load_id FROM raw.rejects SEMI JOIN raw.descriptions USING (load_id)
        SEMI JOIN raw.loads AS own ON own.load_id = rejects.load_id AND own.source = rejects.member
        WHERE own_may_name(line, $2)
    )
)
ORDER BY load_id

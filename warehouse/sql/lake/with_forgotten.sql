-- Loads of this publication with a row of somebody who is forgotten, a rejected one too. They were
-- landed before another home forgot the person. A row of the file of items is nobody's.
-- own_may_name: see own_landing/may_name.
WITH new AS (
    SELECT load_id, dataset, source FROM raw.loads SEMI JOIN mart.catalogue USING (publication)
), gone AS (
    SELECT load_id, source, raw_user_id, user_key FROM new JOIN raw.forgotten USING (dataset)
), found AS (
    SELECT load_id FROM raw.ratings SEMI JOIN gone USING (load_id, raw_user_id)
    UNION ALL
    SELECT load_id FROM raw.users SEMI JOIN gone USING (load_id, raw_user_id)
    UNION ALL
    SELECT load_id FROM raw.user_keys SEMI JOIN gone USING (load_id, user_key)
    UNION ALL
    SELECT load_id FROM raw.rejects JOIN gone USING (load_id)
    WHERE TRY_CAST(regexp_extract(line, '^\D*(\d+)', 1) AS BIGINT) = raw_user_id
        OR user_key IS NOT NULL AND member = source AND own_may_name(line, user_key)
)
SELECT DISTINCT load_id FROM found ORDER BY load_id

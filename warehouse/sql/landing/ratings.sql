SELECT
    source_row, TRY_CAST(field[1] AS BIGINT) AS raw_user_id, TRY_CAST(field[2] AS BIGINT) AS raw_item_id,
    TRY_CAST(field[3] AS FLOAT) AS rating, TRY_CAST(field[4] AS BIGINT) AS timestamp
FROM (SELECT rowid + 1 AS source_row, string_split(line, $separator) AS field FROM lines)
WHERE source_row > $headers AND why_not(field, $max_id, $stars, $earliest, $latest) IS NULL

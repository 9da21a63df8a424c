INSERT INTO raw.ratings
SELECT
    $load_id, source_row, TRY_CAST(field[1] AS BIGINT), TRY_CAST(field[2] AS BIGINT),
    TRY_CAST(field[3] AS FLOAT), TRY_CAST(field[4] AS BIGINT)
FROM (SELECT rowid + 1 AS source_row, string_split(line, $separator) AS field FROM lines)
WHERE source_row > $headers AND why_not(field, $max_id, $stars, $earliest, $latest) IS NULL

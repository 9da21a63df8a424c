INSERT INTO raw.ratings
SELECT
    $load_id, source_row, TRY_CAST(field[1] AS BIGINT), TRY_CAST(field[2] AS BIGINT),
    TRY_CAST(field[3] AS FLOAT), TRY_CAST(field[4] AS BIGINT)
FROM (
    SELECT row_number() OVER () AS source_row, string_split(line, $separator) AS field
    FROM read_csv(
        $path, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '',
        header = false, auto_detect = false, new_line = '\n', max_line_size = 65536
    )
)
WHERE source_row > $headers AND why_not(field, $stars, $earliest, $latest) IS NULL

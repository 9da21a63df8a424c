INSERT INTO raw.rejects
SELECT $load_id, $member, source_row, left(line, 200), why
FROM (
    SELECT
        source_row, line,
        why_not(string_split(line, $separator), $stars, $earliest, $latest) AS why
    FROM (
        SELECT row_number() OVER () AS source_row, line
        FROM read_csv(
            $path, columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '',
            header = false, auto_detect = false, new_line = '\n', max_line_size = 65536
        )
    )
)
WHERE source_row > $headers AND why IS NOT NULL

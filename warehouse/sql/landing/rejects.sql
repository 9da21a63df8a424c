INSERT INTO raw.rejects
SELECT $load_id, $member, source_row, left(line, 200), why
FROM (
    SELECT
        rowid + 1 AS source_row, line,
        CASE  -- a line that is too long was cut there
            WHEN strlen(line) >= $longest THEN 'line is over ' || ($longest - 1) || ' characters'
            ELSE why_not(
                string_split(line, $separator), $max_id, $stars, $earliest, $latest
            )
        END AS why
    FROM lines
)
WHERE source_row > $headers AND why IS NOT NULL

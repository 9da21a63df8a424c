INSERT INTO raw.rejects
SELECT $load_id, $member, source_row, left(line, 200), why
FROM (
    SELECT
        rowid + 1 AS source_row, line,
        why_not(string_split(line, $separator), $stars, $earliest, $latest) AS why
    FROM lines
)
WHERE source_row > $headers AND why IS NOT NULL

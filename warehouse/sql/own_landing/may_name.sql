-- Whether a line that could not be taken may be of a user: its first field says so, or where the line
-- has no fields, the id stands in it as a word.
CREATE OR REPLACE TEMP MACRO own_first_field(line) AS
    regexp_extract(line, '^\{"(?:[^"\\]|\\.)*":("(?:[^"\\]|\\.)*"|null)[,}]', 1);
CREATE OR REPLACE TEMP MACRO own_may_name(line, user_key) AS
    CASE own_first_field(line)
        WHEN 'null' THEN false
        WHEN '' THEN regexp_matches(
            line, '(^|[^A-Za-z0-9])' || regexp_escape(user_key) || '($|[^A-Za-z0-9])'
        )
        ELSE own_first_field(line) IN (
            CAST(to_json(user_key) AS VARCHAR), CAST(to_json(user_key || '.0') AS VARCHAR)
        )
    END

-- Why a line's fields are not a rating; null when they are one. Looked at as text, before any cast:
-- reading '4.5' as a whole number would give 5 without an error.
CREATE OR REPLACE TEMP MACRO is_whole(text, low, high) AS
    coalesce(
        TRY_CAST(text AS BIGINT) BETWEEN low AND high
        AND regexp_full_match(text, '0|-?[1-9][0-9]*'),
        false
    );
-- of a text that is no id: warehouse/raw_ids.py reads those of movies and users by the same rule
CREATE OR REPLACE TEMP MACRO why_no_id(what, text, max_id) AS
    CASE
        WHEN regexp_full_match(text, '[1-9][0-9]*')
            THEN what || ' is above the limit of ids, ' || max_id
        ELSE what || ' is not a whole number from 1'
    END;
CREATE OR REPLACE TEMP MACRO why_not(field, max_id, stars, earliest, latest) AS
    CASE
        WHEN len(field) <> 4 THEN len(field) || ' fields instead of 4'
        WHEN NOT is_whole(field[1], 1, max_id) THEN why_no_id('user', field[1], max_id)
        WHEN NOT is_whole(field[2], 1, max_id) THEN why_no_id('movie', field[2], max_id)
        WHEN NOT list_contains(stars, field[3]) THEN 'rating is not on the scale'
        WHEN NOT is_whole(field[4], earliest, latest) THEN
            CASE
                WHEN is_whole(field[4], -9000000000000000, 9000000000000000)
                    THEN 'timestamp is before 1995 or in the future'
                ELSE 'timestamp is not a whole number of seconds'
            END
    END;

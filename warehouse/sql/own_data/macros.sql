-- Ids, times and ratings of a file of one's own. Null where a value is none; the reason is said
-- apart. Nothing is trimmed or rounded in silence: what isn't plain is rejected.

-- Beyond 2^53 a float stands for several whole numbers.
CREATE OR REPLACE TEMP MACRO own_float_key(number) AS
    CASE
        WHEN isfinite(number) AND number = floor(number) AND abs(number) <= 9007199254740992
            THEN CAST(CAST(number AS BIGINT) AS VARCHAR)
    END;
CREATE OR REPLACE TEMP MACRO own_decimal_key(number) AS
    nullif(regexp_extract(CAST(number AS VARCHAR), '^(-?[0-9]+)(\.0*)?$', 1), '');
CREATE OR REPLACE TEMP MACRO own_why_no_number(what, number) AS
    CASE
        WHEN number IS NULL OR isnan(number) THEN what || ' is missing'
        WHEN isinf(number) THEN what || ' is infinite'
        WHEN number <> floor(number) THEN what || ' is a number with a fraction'
        ELSE what || ' is a float above 9007199254740992, where several ids look the same'
    END;

-- Nanoseconds since 1970. A minus sign is all that counts of a number below zero.
CREATE OR REPLACE TEMP MACRO own_whole_nanos(number, unit) AS
    CASE
        WHEN number < 0 THEN -1::HUGEINT
        WHEN number <= 99999999999999999999::HUGEINT THEN CAST(number AS HUGEINT) * unit::HUGEINT
        ELSE 99999999999999999999::HUGEINT * unit::HUGEINT
    END;
CREATE OR REPLACE TEMP MACRO own_float_nanos(number, unit) AS
    CASE
        WHEN number < 0 THEN -1::HUGEINT
        WHEN number <= 1e19
            THEN
                CAST(floor(number) AS HUGEINT) * unit::HUGEINT
                + CAST(floor((number - floor(number)) * unit::DOUBLE) AS HUGEINT)
        WHEN isfinite(number) THEN CAST(1e19 AS HUGEINT) * unit::HUGEINT
    END;
CREATE OR REPLACE TEMP MACRO own_text_nanos(text, unit) AS
    CASE
        WHEN regexp_full_match(text, '\+?[0-9]{1,19}') THEN own_whole_nanos(TRY_CAST(text AS HUGEINT), unit)
        WHEN regexp_full_match(text, '\+?[0-9]{1,19}\.[0-9]*')
            THEN
                own_whole_nanos(TRY_CAST(split_part(text, '.', 1) AS HUGEINT), unit)
                -- as digits: a float's .033310491 s would be a nanosecond less
                + TRY_CAST(rpad(left(split_part(text, '.', 2), 18), 18, '0') AS HUGEINT)
                * unit::HUGEINT // 1000000000000000000
        WHEN regexp_full_match(text, '-?[0-9]+(\.[0-9]*)?([eE][+]?[0-9]+)?')
            THEN own_float_nanos(TRY_CAST(text AS DOUBLE), unit)
    END;

-- A moment without a zone is one of `zone`. One that the zone's clocks show twice is the earlier
-- or the later one as ICU has it; one that they leave out is moved on by the gap.
CREATE OR REPLACE TEMP MACRO own_moment_nanos(moment, zone) AS
    CAST(
        CASE WHEN zone = 'UTC' THEN epoch_us(moment) ELSE epoch_us(timezone(zone, moment)) END AS HUGEINT
    ) * 1000;
CREATE OR REPLACE TEMP MACRO own_iso_parts(text) AS
    regexp_extract(
        text,
        '^([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,]([0-9]+))? ?(Z|z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$',
        ['day', 'clock', 'fraction', 'zone']
    );
CREATE OR REPLACE TEMP MACRO own_iso_moment(parts) AS
    TRY_CAST(
        parts.day || ' ' || CASE strlen(parts.clock) WHEN 0 THEN '00:00:00' WHEN 5 THEN parts.clock || ':00' ELSE parts.clock END
        AS TIMESTAMP
    );
CREATE OR REPLACE TEMP MACRO own_offset_nanos(text) AS
    CASE WHEN text[1] = '-' THEN -1 ELSE 1 END::HUGEINT * 60000000000
    * (60 * CAST(text[2:3] AS INTEGER) + CAST('0' || right(text[4:], 2) AS INTEGER));
CREATE OR REPLACE TEMP MACRO own_parts_nanos(parts, zone) AS
    CAST(rpad(left(parts.fraction, 9), 9, '0') AS BIGINT)
    + CASE
        WHEN parts.zone = '' THEN own_moment_nanos(own_iso_moment(parts), zone)
        WHEN parts.zone IN ('Z', 'z', 'UTC') THEN own_moment_nanos(own_iso_moment(parts), 'UTC')
        ELSE own_moment_nanos(own_iso_moment(parts), 'UTC') - own_offset_nanos(parts.zone)
    END;
CREATE OR REPLACE TEMP MACRO own_iso_nanos(text, zone) AS own_parts_nanos(own_iso_parts(text), zone);
CREATE OR REPLACE TEMP MACRO own_why_no_time(nanos, latest, rather) AS
    CASE
        WHEN nanos < 0 THEN 'time is before 1970'
        WHEN nanos // 1000000000 > latest THEN 'time is in the future' || coalesce(': ' || rather, '')
    END;

CREATE OR REPLACE TEMP MACRO own_why_no_rating(number, low, high, step) AS
    CASE
        WHEN isnan(number) THEN 'rating is not a number'
        WHEN number < low THEN 'rating ' || printf('%g', number::DOUBLE) || ' is below ' || printf('%g', low::DOUBLE)
        WHEN number > high THEN 'rating ' || printf('%g', number::DOUBLE) || ' is above ' || printf('%g', high::DOUBLE)
        WHEN abs((number - low) / step - round((number - low) / step)) > 1e-6
            THEN 'rating ' || printf('%g', number::DOUBLE) || ' is not on the scale'
    END;
-- Snapped to the scale: 3.5 is 3.5, whatever a float made of it.
CREATE OR REPLACE TEMP MACRO own_on_scale(number, low, high, step) AS
    CASE
        WHEN isfinite(number) AND number BETWEEN low AND high
            THEN coalesce(low + round((number - low) / step) * step, number)
    END;

-- Shared by all readers.

-- The moment of a text: ISO-8601 date and time, with an offset or in the given zone; NULL for anything else.
CREATE TEMP MACRO arrival_time(zone, given) AS
    CASE
        WHEN NOT regexp_matches(given, '^\s*\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}') THEN NULL
        WHEN regexp_matches(given, '\d{2}:\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)\s*$')
            THEN TRY_CAST(given AS TIMESTAMPTZ)
        ELSE timezone(zone, TRY_CAST(given AS TIMESTAMP))
    END;

-- A whole number of tokens of a text, as INTEGER can hold it; NULL for anything else.
CREATE TEMP MACRO token_count(given) AS
    CASE
        WHEN regexp_full_match(given, '\s*\d{1,10}(\.0*)?\s*') AND TRY_CAST(given AS BIGINT) <= 2147483647
            THEN TRY_CAST(given AS BIGINT)
    END;

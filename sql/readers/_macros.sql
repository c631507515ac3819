-- Shared by all readers. Columns of text files are text; of Parquet files they are BIGINT, DOUBLE, a time or text.

-- Microseconds since the epoch, unchanged; NULL before 1677 and after 2261, which no clock shows.
CREATE MACRO on_a_clock(micros) AS CASE WHEN micros BETWEEN -9246182400000000 AND 9214646400000000 THEN micros END;

-- Microseconds since the epoch of a column: ISO-8601 date and time, with an offset or in the given zone; NULL for
-- anything else. Conversions between zones would cost most of an import: UTC needs none.
CREATE MACRO arrival_micros
    (zone VARCHAR, given VARCHAR) AS
        on_a_clock(
            CASE
                WHEN NOT regexp_matches(given, '^\s*\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}') THEN NULL
                WHEN regexp_matches(given, '\d{2}:\d{2}.*(Z|UTC|[+-]\d{2}(:?\d{2})?)\s*$')
                    THEN epoch_us(TRY_CAST(given AS TIMESTAMPTZ))
                WHEN zone = 'UTC' THEN epoch_us(TRY_CAST(given AS TIMESTAMP))
                ELSE epoch_us(timezone(zone, TRY_CAST(given AS TIMESTAMP)))
            END
        ),
    (zone VARCHAR, given TIMESTAMPTZ) AS on_a_clock(CASE WHEN isfinite(given) THEN epoch_us(given) END),
    (zone VARCHAR, given TIMESTAMP) AS
        on_a_clock(
            CASE
                WHEN NOT isfinite(given) THEN NULL
                WHEN zone = 'UTC' THEN epoch_us(given)
                ELSE epoch_us(timezone(zone, given))
            END
        ),
    (zone VARCHAR, given BIGINT) AS NULL::BIGINT,
    (zone VARCHAR, given DOUBLE) AS NULL::BIGINT;

-- Microseconds of a number of units from 0; NULL for anything else.
CREATE MACRO micros_of
    (given VARCHAR, unit_us) AS
        CASE
            WHEN TRY_CAST(given AS DOUBLE) * unit_us BETWEEN 0 AND 7e15
                THEN round(TRY_CAST(given AS DECIMAL(38, 9)) * unit_us)::BIGINT
        END,
    (given BIGINT, unit_us) AS CASE WHEN given BETWEEN 0 AND 7000000000000000 // unit_us THEN given * unit_us END,
    (given DOUBLE, unit_us) AS CASE WHEN given * unit_us BETWEEN 0 AND 7e15 THEN round(given * unit_us)::BIGINT END,
    (given TIMESTAMPTZ, unit_us) AS NULL::BIGINT,
    (given TIMESTAMP, unit_us) AS NULL::BIGINT;

-- A column's whole number of tokens that fits INTEGER; NULL for anything else.
CREATE MACRO token_count
    (given VARCHAR) AS
        CASE
            WHEN regexp_full_match(given, '\s*\d{1,10}(\.0*)?\s*') AND TRY_CAST(given AS BIGINT) <= 2147483647
                THEN TRY_CAST(given AS BIGINT)
        END,
    (given BIGINT) AS CASE WHEN given BETWEEN 0 AND 2147483647 THEN given END,
    (given DOUBLE) AS CASE WHEN given BETWEEN 0 AND 2147483647 AND given = floor(given) THEN given::BIGINT END,
    (given TIMESTAMPTZ) AS NULL::BIGINT,
    (given TIMESTAMP) AS NULL::BIGINT;

-- A whole number that a sum of tokens can be; NULL for anything else.
CREATE MACRO whole_number(given) AS
    CASE WHEN regexp_full_match(given, '\s*\d{1,16}(\.0*)?\s*') AND TRY_CAST(given AS BIGINT) <= 4000000000000000 THEN TRY_CAST(given AS BIGINT) END;

-- Whether all numbers of a list fit into its type: a cast that is tried leaves NULL where one does not.
CREATE MACRO all_fit(numbers) AS len(numbers) = list_count(numbers);

-- A log with a column per field, named as planner's own export names them.
-- Arrivals that are numbers count from 1970 where that makes plausible times of them and no other start is stated.
-- @param start_us    moment that arrival 0 stands for where arrivals are numbers, microseconds since the epoch
-- @param is_started  whether the user stated it
-- @param unit_ns     nanoseconds of one unit where arrivals are numbers
-- @param needs_tokens  whether a row with 0 input and 0 output tokens is no request
-- Each step uses what the one before made: DuckDB writes a name of the same SELECT out wherever it is used.
WITH timed AS (
    SELECT *, told_time(arrival) AS time_told FROM raw
),

clocked AS (
    SELECT *, arrival_micros(time_told) AS clock_us FROM timed
),

counted AS (
    SELECT
        *,
        CASE WHEN clock_us IS NULL THEN micros_of(arrival, $unit_ns::BIGINT) END AS elapsed_us,
        token_count(input_tokens) AS given_input,
        token_count(cached_input_tokens) AS given_cached,
        token_count(cache_creation_input_tokens) AS given_written,
        token_count(output_tokens) AS given_output,
        token_count(block_tokens) AS block_size,
        token_count(sample_weight) AS weight,
        nullif(trim(block_ids::VARCHAR), '') AS ids
    FROM clocked
),

field AS (
    SELECT
        *,
        coalesce(clock_us, number_micros(elapsed_us, $start_us::BIGINT, $is_started)) AS at_us,
        TRY_CAST(string_split(ids, ' ') AS BIGINT[]) AS blocks
    FROM counted
)

SELECT
    file_index,
    line,
    at_us AS arrival_us,
    given_input AS input_tokens,
    given_cached AS cached_input_tokens,
    given_output AS output_tokens,
    nullif(nullif(trim(class::VARCHAR), ''), '-') AS class,
    CASE WHEN is_named(session_id) THEN trim(session_id::VARCHAR) END AS session,
    NULL::VARCHAR AS parent,
    blocks AS block_ids,
    weight AS sample_weight,
    block_size AS block_tokens,
    second_micros(time_told) AS second_us,
    elapsed_us,
    given_written AS written_tokens,
    lower(nullif(nullif(trim(provider::VARCHAR), ''), '-')) AS teller,
    CASE WHEN is_id(id) THEN trim(id::VARCHAR) END AS request_id,
    CASE WHEN is_id(parent_id) THEN trim(parent_id::VARCHAR) END AS span_parent,
    CASE
        -- most rows have nothing to refuse and nothing else: seen at once, which counts where there are millions
        WHEN fault IS NULL AND at_us IS NOT NULL AND given_input IS NOT NULL AND given_output IS NOT NULL
            AND (cached_input_tokens IS NULL OR given_cached IS NOT NULL)
            AND (given_input + given_output > 0 OR NOT $needs_tokens)
            AND cache_creation_input_tokens IS NULL AND block_ids IS NULL AND block_tokens IS NULL AND sample_weight IS NULL
            THEN NULL
        WHEN fault IS NOT NULL THEN fault
        WHEN elapsed_us IS NOT NULL AND at_us IS NULL AND $is_started
            THEN 'arrival is a number of more than ten years from --start; leave --start out, or state the unit with --time-unit'
        WHEN at_us IS NULL THEN time_fault('arrival', arrival, time_told)
        WHEN given_input IS NULL THEN 'input_tokens is not a whole number from 0 to 2147483647'
        WHEN given_output IS NULL THEN 'output_tokens is not a whole number from 0 to 2147483647'
        WHEN given_cached IS NULL AND is_told(cached_input_tokens)
            THEN 'cached_input_tokens is not a whole number from 0 to 2147483647'
        WHEN given_written IS NULL AND is_told(cache_creation_input_tokens)
            THEN 'cache_creation_input_tokens is not a whole number from 0 to 2147483647'
        WHEN $needs_tokens AND given_input + given_output + coalesce(given_cached, 0) + coalesce(given_written, 0) = 0
            THEN 'has no tokens: 0 in and 0 out'
        WHEN ids IS NOT NULL AND NOT (regexp_full_match(ids, '\d+( \d+)*') AND all_fit(blocks))
            THEN 'block_ids is not a list of whole numbers from 0 to 9223372036854775807'
        WHEN nullif(trim(block_tokens::VARCHAR), '') IS NOT NULL AND NOT coalesce(block_size >= 1, false)
            THEN 'block_tokens is not a whole number from 1'
        WHEN ids IS NOT NULL AND block_size IS NOT NULL
            AND len(blocks) <> (given_input + block_size - 1) // block_size
            THEN 'block_ids does not hold one id per block of input tokens'
        WHEN nullif(trim(sample_weight::VARCHAR), '') IS NOT NULL AND NOT coalesce(weight >= 1, false)
            THEN 'sample_weight is not a whole number from 1'
    END AS reason
FROM field

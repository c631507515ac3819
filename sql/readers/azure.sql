-- Azure LLM inference traces: wall clock with up to seven fractional digits or none, with or without an offset.
WITH timed AS (
    SELECT *, told_time(TIMESTAMP) AS time_told FROM raw
),

field AS (
    SELECT
        *,
        arrival_micros(time_told) AS arrival_us,
        token_count(ContextTokens) AS input_tokens,
        token_count(GeneratedTokens) AS output_tokens
    FROM timed
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    NULL::BIGINT AS cached_input_tokens,
    output_tokens,
    NULL::VARCHAR AS class,
    NULL::VARCHAR AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    second_micros(time_told) AS second_us,
    NULL::BIGINT AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN arrival_us IS NULL THEN time_fault('TIMESTAMP', TIMESTAMP, time_told)
            WHEN input_tokens IS NULL THEN 'ContextTokens is not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'GeneratedTokens is not a whole number from 0 to 2147483647'
        END
    ) AS reason
FROM field

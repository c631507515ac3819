-- A log with a column per field, named as planner's own export names them.
-- @param timezone  zone of times without an offset
-- @param start_us  moment that arrival 0 stands for where arrivals are numbers, microseconds since the epoch
-- @param unit_us   microseconds of one unit where arrivals are numbers
WITH field AS (
    SELECT
        *,
        coalesce(
            epoch_us(arrival_time($timezone, arrival)),
            CASE
                WHEN TRY_CAST(arrival AS DOUBLE) * $unit_us::BIGINT BETWEEN 0 AND 7e15
                    THEN $start_us::BIGINT + round(TRY_CAST(arrival AS DECIMAL(38, 9)) * $unit_us::BIGINT)::BIGINT
            END
        ) AS at_us,
        token_count(input_tokens) AS given_input,
        coalesce(token_count(cached_input_tokens), CASE WHEN coalesce(trim(cached_input_tokens), '') = '' THEN 0 END) AS given_cached,
        token_count(output_tokens) AS given_output,
        nullif(trim(block_ids), '') AS ids
    FROM raw
)

SELECT
    file_index,
    line,
    at_us AS arrival_us,
    given_input AS input_tokens,
    given_cached AS cached_input_tokens,
    given_output AS output_tokens,
    nullif(trim(class), '') AS class,
    nullif(trim(session_id), '') AS session,
    TRY_CAST(string_split(ids, ' ') AS BIGINT[]) AS block_ids,
    TRY_CAST(sample_weight AS BIGINT) AS sample_weight,
    TRY_CAST(block_tokens AS BIGINT) AS block_tokens,
    coalesce(
        fault,
        CASE
            WHEN at_us IS NULL THEN 'arrival is not a time'
            WHEN given_input IS NULL THEN 'input_tokens is not a whole number from 0 to 2147483647'
            WHEN given_output IS NULL THEN 'output_tokens is not a whole number from 0 to 2147483647'
            WHEN given_cached IS NULL THEN 'cached_input_tokens is not a whole number from 0 to 2147483647'
            WHEN given_cached > given_input THEN 'cached_input_tokens exceeds input_tokens'
            WHEN ids IS NOT NULL AND TRY_CAST(string_split(ids, ' ') AS BIGINT[]) IS NULL THEN 'block_ids is not a list of whole numbers'
            WHEN nullif(trim(block_tokens), '') IS NOT NULL AND NOT coalesce(TRY_CAST(block_tokens AS BIGINT) >= 1, false)
                THEN 'block_tokens is not a whole number from 1'
            WHEN ids IS NOT NULL AND TRY_CAST(block_tokens AS BIGINT) IS NOT NULL
                AND len(string_split(ids, ' ')) <> (given_input + TRY_CAST(block_tokens AS BIGINT) - 1) // TRY_CAST(block_tokens AS BIGINT)
                THEN 'block_ids does not hold one id per block of input tokens'
            WHEN nullif(trim(sample_weight), '') IS NOT NULL AND NOT coalesce(TRY_CAST(sample_weight AS BIGINT) >= 1, false)
                THEN 'sample_weight is not a whole number from 1'
        END
    ) AS reason
FROM field

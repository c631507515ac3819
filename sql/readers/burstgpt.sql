-- BurstGPT: seconds from midnight of the first day; a request without response tokens failed.
-- @param start_us  moment that second 0 stands for, microseconds since the epoch
WITH field AS (
    SELECT
        *,
        $start_us::BIGINT + micros_of("Timestamp", 1000000000) AS arrival_us,
        token_count("Request tokens") AS input_tokens,
        token_count("Response tokens") AS output_tokens
    FROM raw
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    NULL::BIGINT AS cached_input_tokens,
    output_tokens,
    nullif(trim("Model"::VARCHAR), '') AS class,
    nullif(trim("Session ID"::VARCHAR), '') AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    NULL::BIGINT AS second_us,
    NULL::BIGINT AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN arrival_us IS NULL THEN 'Timestamp is not a number of seconds from 0'
            WHEN input_tokens IS NULL THEN 'Request tokens is not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'Response tokens is not a whole number from 0 to 2147483647'
            WHEN output_tokens = 0 THEN 'failed: has no response tokens'
        END
    ) AS reason
FROM field

-- Mooncake traces: milliseconds from the start; prefix-chained block ids, from which cache hits are computed.
-- @param start_us  moment that timestamp 0 stands for, microseconds since the epoch
WITH parsed AS (
    SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM raw
),

field AS (
    SELECT
        *,
        TRY_CAST(entry ->> 'timestamp' AS DOUBLE) AS at_ms,
        token_count(entry ->> 'input_length') AS input_tokens,
        token_count(entry ->> 'output_length') AS output_tokens,
        TRY_CAST(entry -> 'hash_ids' AS BIGINT[]) AS block_ids,
        entry -> 'hash_ids' AS given_ids
    FROM parsed
)

SELECT
    file_index,
    line,
    CASE WHEN at_ms BETWEEN 0 AND 1e14 THEN $start_us::BIGINT + round(at_ms * 1000)::BIGINT END AS arrival_us,
    input_tokens,
    NULL::BIGINT AS cached_input_tokens,
    output_tokens,
    NULL::VARCHAR AS class,
    NULL::VARCHAR AS session,
    NULL::VARCHAR AS parent,
    block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    NULL::BIGINT AS second_us,
    NULL::BIGINT AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN entry IS NULL OR json_type(entry) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN at_ms IS NULL OR NOT at_ms BETWEEN 0 AND 1e14 THEN 'timestamp is not a number of milliseconds from 0'
            WHEN input_tokens IS NULL THEN 'input_length is not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'output_length is not a whole number from 0 to 2147483647'
            WHEN given_ids IS NOT NULL
                AND NOT (regexp_full_match(given_ids::VARCHAR, '\[(\s*\d+\s*(,\s*\d+\s*)*)?\]') AND all_fit(block_ids))
                THEN 'hash_ids is not a list of whole numbers from 0 to 9223372036854775807'
            WHEN len(block_ids) <> (input_tokens + 511) // 512 THEN 'hash_ids does not hold one id per 512 input tokens'
        END
    ) AS reason
FROM field

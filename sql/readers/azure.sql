-- Azure LLM inference traces: wall clock with up to seven fractional digits, with or without an offset.
-- @param timezone  zone of times without an offset
SELECT
    file_index,
    line,
    epoch_us(arrival_time($timezone, TIMESTAMP)) AS arrival_us,
    token_count(ContextTokens) AS input_tokens,
    0::BIGINT AS cached_input_tokens,
    token_count(GeneratedTokens) AS output_tokens,
    NULL::VARCHAR AS class,
    NULL::VARCHAR AS session,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    coalesce(
        fault,
        CASE
            WHEN arrival_time($timezone, TIMESTAMP) IS NULL THEN 'TIMESTAMP is not a time'
            WHEN token_count(ContextTokens) IS NULL THEN 'ContextTokens is not a whole number from 0 to 2147483647'
            WHEN token_count(GeneratedTokens) IS NULL THEN 'GeneratedTokens is not a whole number from 0 to 2147483647'
        END
    ) AS reason
FROM raw

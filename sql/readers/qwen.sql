-- Qwen-Bailian traces: seconds from the start; prefix blocks of 16 tokens; each turn names the one before.
-- @param start_us  moment that timestamp 0 stands for, microseconds since the epoch
WITH parsed AS (
    SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM raw
),

field AS (
    SELECT
        *,
        $start_us::BIGINT + micros_of(entry ->> 'timestamp', 1000000000) AS arrival_us,
        token_count(entry ->> 'input_length') AS input_tokens,
        token_count(entry ->> 'output_length') AS output_tokens,
        TRY_CAST(entry ->> 'chat_id' AS BIGINT) AS chat,
        TRY_CAST(entry ->> 'parent_chat_id' AS BIGINT) AS chat_before,
        TRY_CAST(entry -> 'hash_ids' AS HUGEINT[]) AS block_ids,
        entry -> 'hash_ids' AS given_ids
    FROM parsed
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    NULL::BIGINT AS cached_input_tokens,
    output_tokens,
    entry ->> 'type' AS class,
    chat::VARCHAR AS session,
    CASE WHEN chat_before >= 0 THEN chat_before::VARCHAR END AS parent,
    block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    NULL::BIGINT AS second_us,
    NULL::BIGINT AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN entry IS NULL OR json_type(entry) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN arrival_us IS NULL THEN 'timestamp is not a number of seconds from 0'
            WHEN input_tokens IS NULL THEN 'input_length is not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'output_length is not a whole number from 0 to 2147483647'
            WHEN chat IS NULL THEN 'chat_id is not a whole number'
            WHEN given_ids IS NOT NULL AND NOT (is_id_list(given_ids::VARCHAR) AND are_64_bits(block_ids))
                THEN 'hash_ids is not a list of whole numbers of 64 bits'
            WHEN len(block_ids) <> (input_tokens + 15) // 16 THEN 'hash_ids does not hold one id per 16 input tokens'
        END
    ) AS reason
FROM field

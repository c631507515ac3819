-- Mooncake traces and their kin: times from a start in a unit, and prefix blocks of a size, that rows do not tell one by
-- one: both are settled when all rows are read (staging/settle_times, staging/settle_blocks). Until then arrival_us and
-- elapsed_us are millionths of the unit of the times.
WITH parsed AS (
    SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM raw
),

field AS (
    SELECT
        *,
        coalesce(entry ->> 'timestamp', entry ->> 'created_time', entry ->> 'arrival_time') AS given_time,
        greatest(
            token_count(entry ->> 'input_length'),
            token_count(entry ->> 'input_tokens'),
            token_count(entry ->> 'prompt_length'),
            token_count(entry ->> 'prompt_tokens')
        ) AS input_tokens,
        greatest(
            token_count(entry ->> 'output_length'),
            token_count(entry ->> 'output_tokens'),
            token_count(entry ->> 'completion_length'),
            token_count(entry ->> 'completion_tokens')
        ) AS output_tokens,
        coalesce(entry ->> 'session_id', entry ->> 'conversation_id') AS session,
        coalesce(entry ->> 'delay', entry ->> 'delay_ms') AS delay,
        TRY_CAST(entry -> 'hash_ids' AS HUGEINT[]) AS ids,
        nullif((entry -> 'hash_ids')::VARCHAR, 'null') AS given_ids
    FROM parsed
),

timed AS (
    SELECT *, millionths_of(given_time) AS elapsed FROM field
)

SELECT
    file_index,
    line,
    elapsed AS arrival_us,
    input_tokens,
    NULL::BIGINT AS cached_input_tokens,
    output_tokens,
    NULL::VARCHAR AS class,
    nullif(trim(session), '') AS session,
    NULL::VARCHAR AS parent,
    ids AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    NULL::BIGINT AS second_us,
    elapsed AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN entry IS NULL OR json_type(entry) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN given_time IS NULL AND delay IS NOT NULL
                THEN 'has a delay and no timestamp: when it arrives depends on the answer before it'
            WHEN elapsed IS NULL THEN 'timestamp is not a number from 0'
            WHEN input_tokens IS NULL THEN 'input_length is not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'output_length is not a whole number from 0 to 2147483647'
            WHEN given_ids IS NOT NULL AND NOT (is_id_list(given_ids) AND are_64_bits(ids))
                THEN 'hash_ids is not a list of whole numbers of 64 bits'
        END
    ) AS reason
FROM timed

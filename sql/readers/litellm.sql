-- LiteLLM's table LiteLLM_SpendLogs: one row per call through the proxy. Cached tokens are inside its metadata.
WITH parsed AS (
    SELECT
        *,
        arrival_micros("startTime") AS arrival_us,
        token_count(prompt_tokens) AS input_tokens,
        token_count(completion_tokens) AS output_tokens,
        CASE WHEN json_valid(metadata::VARCHAR) THEN metadata::VARCHAR::JSON END AS more
    FROM raw
),

field AS (
    SELECT
        *,
        coalesce(
            more ->> '$.usage_object.prompt_tokens_details.cached_tokens',
            more ->> '$.additional_usage_values.prompt_tokens_details.cached_tokens',
            more ->> '$.usage_object.cache_read_input_tokens',
            more ->> '$.additional_usage_values.cache_read_input_tokens',
            '0'
        ) AS hits
    FROM parsed
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    token_count(hits) AS cached_input_tokens,
    output_tokens,
    nullif(trim(model::VARCHAR), '') AS class,
    nullif(trim(session_id::VARCHAR), '') AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    second_micros("startTime") AS second_us,
    NULL::BIGINT AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN arrival_us IS NULL THEN time_fault('startTime', "startTime")
            WHEN lower(trim(status::VARCHAR)) = 'failure' THEN 'failed: status is failure'
            WHEN lower(trim(cache_hit::VARCHAR)) = 'true' THEN 'answered by the proxy: cache_hit is true'
            WHEN input_tokens IS NULL THEN 'prompt_tokens is not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'completion_tokens is not a whole number from 0 to 2147483647'
            WHEN token_count(hits) IS NULL THEN 'cached tokens in metadata are not a whole number from 0 to 2147483647'
            WHEN token_count(hits) > input_tokens THEN 'cached tokens in metadata exceed prompt_tokens'
        END
    ) AS reason
FROM field

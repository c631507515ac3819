-- LiteLLM's table LiteLLM_SpendLogs: one row per call through the proxy. Cached tokens are inside its metadata; the input
-- holds them, but for calls that are passed through as they are.
WITH parsed AS (
    SELECT
        *,
        told_time("startTime") AS time_told,
        json_in(metadata::VARCHAR) AS more
    FROM raw
),

field AS (
    SELECT
        *,
        coalesce(arrival_micros(time_told), epoch_micros("startTime"::VARCHAR)) AS arrival_us,
        -- a call that streams may have its tokens in the usage alone
        CASE
            WHEN NOT is_told(prompt_tokens) OR (token_count(prompt_tokens) = 0 AND coalesce(token_count(completion_tokens), 0) = 0)
                THEN coalesce(more ->> '$.usage_object.prompt_tokens', more ->> '$.usage_object.input_tokens', prompt_tokens::VARCHAR)
            ELSE prompt_tokens::VARCHAR
        END AS input_told,
        CASE
            WHEN NOT is_told(completion_tokens) OR (token_count(completion_tokens) = 0 AND coalesce(token_count(prompt_tokens), 0) = 0)
                THEN coalesce(
                    more ->> '$.usage_object.completion_tokens', more ->> '$.usage_object.output_tokens', completion_tokens::VARCHAR
                )
            ELSE completion_tokens::VARCHAR
        END AS output_told,
        list_filter(
            [
                more ->> '$.usage_object.prompt_tokens_details.cached_tokens',
                more ->> '$.additional_usage_values.prompt_tokens_details.cached_tokens',
                more ->> '$.usage_object.input_tokens_details.cached_tokens',
                more ->> '$.additional_usage_values.input_tokens_details.cached_tokens',
                more ->> '$.usage_object.prompt_cache_hit_tokens',
                more ->> '$.additional_usage_values.prompt_cache_hit_tokens'
            ],
            lambda one: is_told(one)
        ) AS within,
        list_filter(
            [
                more ->> '$.usage_object.cache_read_input_tokens',
                more ->> '$.additional_usage_values.cache_read_input_tokens',
                more ->> '$.usage_object.cacheReadInputTokens'
            ],
            lambda one: is_told(one)
        ) AS beside,
        list_filter(
            [
                more ->> '$.usage_object.cache_creation_input_tokens',
                more ->> '$.additional_usage_values.cache_creation_input_tokens',
                more ->> '$.usage_object.prompt_tokens_details.cache_creation_tokens',
                more ->> '$.additional_usage_values.prompt_tokens_details.cache_creation_tokens',
                more ->> '$.usage_object.cacheWriteInputTokens'
            ],
            lambda one: is_told(one)
        ) AS written,
        lower(trim(coalesce(call_type::VARCHAR, ''))) AS kind,
        lower(trim(coalesce(status::VARCHAR, ''))) AS outcome
    FROM parsed
),

counted AS (
    SELECT
        *,
        token_count(input_told) AS input_tokens,
        token_count(output_told) AS output_tokens,
        largest_count(list_concat(within, beside)) AS hits,
        largest_count(written) AS written_tokens
    FROM field
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    hits AS cached_input_tokens,
    output_tokens,
    nullif(trim(model::VARCHAR), '') AS class,
    CASE WHEN is_named(session_id) THEN trim(session_id::VARCHAR) END AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    second_micros(time_told) AS second_us,
    NULL::BIGINT AS elapsed_us,
    written_tokens,
    -- these names are of what is part of the prompt, by definition
    CASE WHEN largest_count(within) > 0 AND coalesce(written_tokens, 0) = 0 THEN 'inside' END AS cached_lies,
    nullif(trim(model::VARCHAR), '') AS teller,
    CASE WHEN is_id(request_id) THEN trim(request_id::VARCHAR) END AS request_id,
    coalesce(
        fault,
        CASE
            WHEN arrival_us IS NULL AND reads_iso() AND TRY_CAST("startTime"::VARCHAR AS DOUBLE) IS NOT NULL
                THEN 'startTime is a number that is no time of the years 2000 to 2099, in s, ms, us or ns'
            WHEN arrival_us IS NULL THEN time_fault('startTime', "startTime", time_told)
            WHEN outcome = 'failure' THEN 'failed: status is failure'
            WHEN outcome <> 'success' AND lower(more ->> '$.status') = 'failure' THEN 'failed: status in metadata is failure'
            WHEN outcome <> 'success' AND (
                is_told(more ->> '$.error_information.error_code') OR is_told(more ->> '$.error_information.error_message')
                OR is_told(more ->> '$.error_information.error_class')
            ) THEN 'failed: metadata has error_information'
            WHEN lower(trim(cache_hit::VARCHAR)) = 'true' THEN 'answered by the proxy: cache_hit is true'
            WHEN regexp_matches(
                kind,
                'embed|image|file|batch|moderation|transcription|speech|audio|rerank|search|ocr|video|vector_store|rag_'
                || '|mcp|assistant|thread|fine_tuning|container|skill|health|model_list|delete|cancel|_get|^a?get_|^a?list_|count_tokens'
            ) THEN 'is no generation: call_type is ' || trim(call_type::VARCHAR)
            WHEN input_tokens IS NULL THEN 'prompt_tokens is not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'completion_tokens is not a whole number from 0 to 2147483647'
            WHEN hits IS NULL AND len(list_concat(within, beside)) > 0
                THEN 'cached tokens in metadata are not a whole number from 0 to 2147483647'
            WHEN written_tokens IS NULL AND len(written) > 0
                THEN 'cache creation tokens in metadata are not a whole number from 0 to 2147483647'
            WHEN input_tokens = 0 AND output_tokens = 0 AND coalesce(hits, 0) = 0 THEN 'has no tokens: 0 in and 0 out'
        END
    ) AS reason
FROM counted

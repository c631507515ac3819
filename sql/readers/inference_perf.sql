-- inference-perf: one record per request (per_request_lifecycle_metrics.json, an array, or JSON lines). Times are of a
-- clock that starts anywhere, so they count from the given start, unless they are seconds since the epoch.
-- @param start_us  moment that second 0 stands for, microseconds since the epoch
WITH parsed AS (
    SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM raw
),

given AS (
    SELECT
        *,
        micros_of(entry ->> '$.start_time', 1000000000) AS since_us,
        coalesce(
            entry ->> '$.info.response_metrics.server_usage.prompt_tokens',
            entry ->> '$.info.request_metrics.text.input_tokens',
            entry ->> '$.info.input_tokens'
        ) AS input_length,
        coalesce(
            entry ->> '$.info.response_metrics.server_usage.completion_tokens',
            entry ->> '$.info.response_metrics.output_tokens',
            entry ->> '$.info.output_tokens'
        ) AS output_length,
        entry ->> '$.info.response_metrics.server_usage.prompt_tokens_details.cached_tokens' AS hits
    FROM parsed
),

field AS (
    SELECT
        *,
        -- no machine's clock has run for thirty years
        CASE WHEN since_us >= 1000000000000000 THEN since_us ELSE $start_us::BIGINT + since_us END AS arrival_us,
        token_count(input_length) AS input_tokens,
        token_count(output_length) AS output_tokens,
        token_count(hits) AS cached_input_tokens
    FROM given
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    cached_input_tokens,
    output_tokens,
    NULL::VARCHAR AS class,
    nullif(entry ->> '$.session_id', '') AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    NULL::BIGINT AS second_us,
    NULL::BIGINT AS elapsed_us,
    'inside' AS cached_lies,
    coalesce(
        fault,
        CASE
            WHEN entry IS NULL OR json_type(entry) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN arrival_us IS NULL THEN 'start_time is not a number of seconds from 0'
            WHEN coalesce(json_type(entry -> 'error'), 'NULL') <> 'NULL' THEN 'failed: has an error'
            WHEN input_tokens IS NULL THEN 'info has no input tokens from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'info has no output tokens from 0 to 2147483647'
            WHEN cached_input_tokens IS NULL AND is_told(hits) THEN 'cached_tokens is not a whole number from 0 to 2147483647'
        END
    ) AS reason
FROM field

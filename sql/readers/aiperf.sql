-- AIPerf: one record per request of a benchmark (profile_export.jsonl), or its fields flat as columns. Tokens that the
-- server tells (usage_...) stand in where AIPerf counts none itself; they hold the cached ones.
WITH parsed AS (
    SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM raw
),

given AS (
    SELECT
        *,
        coalesce(
            entry ->> '$.metadata.request_start_ns', entry ->> '$."metadata.request_start_ns"', entry ->> '$.request_start_ns'
        ) AS started_ns,
        aiperf_metric(entry, 'input_sequence_length') AS input_length,
        aiperf_metric(entry, 'usage_prompt_tokens') AS prompt_length,
        coalesce(aiperf_metric(entry, 'output_sequence_length'), aiperf_metric(entry, 'usage_completion_tokens')) AS output_length,
        list_filter(
            [
                aiperf_metric(entry, 'usage_prompt_cache_read_tokens'),
                aiperf_metric(entry, 'usage_prompt_cached_tokens'),
                aiperf_metric(entry, 'usage_cache_read_tokens'),
                aiperf_metric(entry, 'usage_cached_tokens')
            ],
            lambda one: is_told(one)
        ) AS hits,
        coalesce(
            entry ->> '$.metadata.x_correlation_id', entry ->> '$."metadata.x_correlation_id"', entry ->> '$.x_correlation_id'
        ) AS conversation,
        coalesce(entry ->> '$.metadata.x_request_id', entry ->> '$."metadata.x_request_id"', entry ->> '$.x_request_id') AS own_id,
        coalesce(entry ->> '$.metadata.benchmark_phase', entry ->> '$."metadata.benchmark_phase"', entry ->> '$.benchmark_phase')
            AS phase,
        coalesce(entry ->> '$.metadata.was_cancelled', entry ->> '$."metadata.was_cancelled"', entry ->> '$.was_cancelled')
            AS cancelled
    FROM parsed
),

field AS (
    SELECT
        *,
        CASE WHEN TRY_CAST(started_ns AS BIGINT) BETWEEN 0 AND 7000000000000000000 THEN TRY_CAST(started_ns AS BIGINT) // 1000 END AS arrival_us,
        largest_count(hits) AS cached_input_tokens,
        -- the server's count where the client has none, or has one that cannot hold what the server found cached
        CASE
            WHEN input_length IS NULL OR largest_count(hits) > token_count(input_length)
                THEN coalesce(token_count(prompt_length), token_count(input_length))
            ELSE token_count(input_length)
        END AS input_tokens,
        token_count(output_length) AS output_tokens
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
    conversation AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    NULL::BIGINT AS second_us,
    NULL::BIGINT AS elapsed_us,
    'inside' AS cached_lies,
    CASE WHEN is_id(own_id) THEN own_id END AS request_id,
    coalesce(
        fault,
        CASE
            WHEN entry IS NULL OR json_type(entry) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN arrival_us IS NULL THEN 'request_start_ns is not a number of nanoseconds'
            WHEN phase = 'warmup' THEN 'belongs to the warm-up'
            WHEN lower(cancelled) = 'true' OR coalesce(json_type(entry -> 'error'), 'NULL') <> 'NULL' THEN 'failed: has an error'
            WHEN input_tokens IS NULL AND input_length IS NULL AND prompt_length IS NULL
                THEN 'has no input tokens: neither input_sequence_length nor usage_prompt_tokens'
            WHEN input_tokens IS NULL THEN 'input_sequence_length is not a whole number from 0 to 2147483647'
            WHEN output_length IS NULL THEN 'has no output tokens: neither output_sequence_length nor usage_completion_tokens'
            WHEN output_tokens IS NULL THEN 'output_sequence_length is not a whole number from 0 to 2147483647'
            WHEN cached_input_tokens IS NULL AND len(hits) > 0
                THEN 'usage_prompt_cache_read_tokens is not a whole number from 0 to 2147483647'
        END
    ) AS reason
FROM field

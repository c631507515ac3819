-- AIPerf: one record per request of a benchmark (profile_export.jsonl), or its fields flat as columns.
WITH parsed AS (
    SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM raw
),

given AS (
    SELECT
        *,
        coalesce(
            entry ->> '$.metadata.request_start_ns', entry ->> '$."metadata.request_start_ns"', entry ->> '$.request_start_ns'
        ) AS started_ns,
        coalesce(
            entry ->> '$.metrics.input_sequence_length.value',
            entry ->> '$."metrics.input_sequence_length.value"',
            entry ->> '$."metrics.input_sequence_length"',
            entry ->> '$.input_sequence_length'
        ) AS input_length,
        coalesce(
            entry ->> '$.metrics.output_sequence_length.value',
            entry ->> '$."metrics.output_sequence_length.value"',
            entry ->> '$."metrics.output_sequence_length"',
            entry ->> '$.output_sequence_length'
        ) AS output_length,
        coalesce(
            entry ->> '$.metadata.x_correlation_id', entry ->> '$."metadata.x_correlation_id"', entry ->> '$.x_correlation_id'
        ) AS conversation,
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
        token_count(input_length) AS input_tokens,
        token_count(output_length) AS output_tokens
    FROM given
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    0::BIGINT AS cached_input_tokens,
    output_tokens,
    NULL::VARCHAR AS class,
    conversation AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    NULL::BIGINT AS second_us,
    NULL::BIGINT AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN entry IS NULL OR json_type(entry) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN arrival_us IS NULL THEN 'request_start_ns is not a number of nanoseconds'
            WHEN phase = 'warmup' THEN 'belongs to the warm-up'
            WHEN lower(cancelled) = 'true' OR coalesce(json_type(entry -> 'error'), 'NULL') <> 'NULL' THEN 'failed: has an error'
            WHEN input_tokens IS NULL THEN 'input_sequence_length is not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'output_sequence_length is not a whole number from 0 to 2147483647'
        END
    ) AS reason
FROM field

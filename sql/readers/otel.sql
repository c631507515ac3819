-- OpenTelemetry spans of model calls: OTLP JSON (many spans per line), log records that tell usage, or one span per line, as
-- exporters, stores and data frames write them. Attributes are a list, an object with dotted names, or nested objects.
WITH alias (field, place, attribute) AS (
    -- names of the conventions of OpenTelemetry, new before old, then those of other instrumentations
    VALUES
    ('input', 1, 'gen_ai.usage.input_tokens'),
    ('input', 2, 'gen_ai.usage.prompt_tokens'),
    ('input', 3, 'llm.usage.prompt_tokens'),
    ('input', 4, 'llm.token_count.prompt'),
    ('input', 5, 'ai.usage.inputTokens'),
    ('input', 6, 'ai.usage.promptTokens'),
    ('input', 7, 'llm.usage.input_tokens'),
    ('input', 8, 'input_tokens'),
    ('output', 1, 'gen_ai.usage.output_tokens'),
    ('output', 2, 'gen_ai.usage.completion_tokens'),
    ('output', 3, 'llm.usage.completion_tokens'),
    ('output', 4, 'llm.token_count.completion'),
    ('output', 5, 'ai.usage.outputTokens'),
    ('output', 6, 'ai.usage.completionTokens'),
    ('output', 7, 'llm.usage.output_tokens'),
    ('output', 8, 'output_tokens'),
    ('cached', 1, 'gen_ai.usage.cache_read.input_tokens'),
    ('cached', 2, 'gen_ai.usage.cache_read_input_tokens'),
    ('cached', 3, 'gen_ai.usage.input_tokens.cached'),
    ('cached', 4, 'gen_ai.usage.cache_read_tokens'),
    ('cached', 5, 'gen_ai.usage.cached_input_tokens'),
    ('cached', 6, 'gen_ai.usage.cached_tokens'),
    ('cached', 7, 'gen_ai.usage.input_cached_tokens'),
    ('cached', 8, 'gen_ai.usage.input_tokens_details.cached_tokens'),
    ('cached', 9, 'gen_ai.usage.prompt_tokens_details.cached_tokens'),
    ('cached', 10, 'gen_ai.usage.input_token_details.cached_tokens'),
    ('cached', 11, 'gen_ai.usage.input_token_details.cache_read'),
    ('cached', 12, 'gen_ai.usage.details.cache_read_tokens'),
    ('cached', 13, 'gen_ai.usage.details.cache_read_input_tokens'),
    ('cached', 14, 'gen_ai.usage.details.cached_tokens'),
    ('cached', 15, 'gen_ai.usage.cached_content_token_count'),
    ('cached', 16, 'llm.usage.cache_read_input_tokens'),
    ('cached', 17, 'llm.usage.cached_tokens'),
    ('cached', 18, 'llm.usage.prompt_tokens_details.cached_tokens'),
    ('cached', 19, 'llm.token_count.prompt_details.cache_read'),
    ('cached', 20, 'llm.token_count.prompt_details.cache_input'),
    ('cached', 21, 'ai.usage.cachedInputTokens'),
    ('cached', 22, 'ai.usage.inputTokenDetails.cacheReadTokens'),
    ('cached', 23, 'ai.usage.inputTokens.cacheRead'),
    ('cached', 24, 'ai.response.providerMetadata.openai.cachedPromptTokens'),
    ('cached', 25, 'cache_read_input_tokens'),
    ('cached', 26, 'cache_read_tokens'),
    ('written', 1, 'gen_ai.usage.cache_creation.input_tokens'),
    ('written', 2, 'gen_ai.usage.cache_creation_input_tokens'),
    ('written', 3, 'gen_ai.usage.cache_write.input_tokens'),
    ('written', 4, 'gen_ai.usage.cache_write_input_tokens'),
    ('written', 5, 'gen_ai.usage.input_tokens.cache_write'),
    ('written', 6, 'gen_ai.usage.cache_creation_tokens'),
    ('written', 7, 'gen_ai.usage.cache_write_tokens'),
    ('written', 8, 'gen_ai.usage.details.cache_write_tokens'),
    ('written', 9, 'gen_ai.usage.details.cache_creation_input_tokens'),
    ('written', 10, 'llm.usage.cache_creation_input_tokens'),
    ('written', 11, 'llm.token_count.prompt_details.cache_write'),
    ('written', 12, 'ai.usage.inputTokenDetails.cacheWriteTokens'),
    ('written', 13, 'ai.usage.inputTokens.cacheWrite'),
    ('written', 14, 'cache_creation_input_tokens'),
    ('written', 15, 'cache_creation_tokens'),
    ('model', 1, 'gen_ai.request.model'),
    ('model', 2, 'gen_ai.response.model'),
    ('model', 3, 'llm.model_name'),
    ('model', 4, 'ai.model.id'),
    ('model', 5, 'llm.request.model'),
    ('model', 6, 'model'),
    ('provider', 1, 'gen_ai.provider.name'),
    ('provider', 2, 'gen_ai.system'),
    ('provider', 3, 'llm.provider'),
    ('provider', 4, 'llm.system'),
    ('provider', 5, 'ai.model.provider'),
    ('session', 1, 'gen_ai.conversation.id'),
    ('session', 2, 'session.id'),
    ('operation', 1, 'gen_ai.operation.name'),
    ('operation', 2, 'openinference.span.kind'),
    ('operation', 3, 'traceloop.span.kind'),
    ('operation', 4, 'llm.request.type'),
    ('operation', 5, 'langfuse.observation.type'),
    ('operation', 6, 'mlflow.spanType'),
    ('operation', 7, 'ai.operationId'),
    ('id', 1, 'log.record.uid'),
    ('id', 2, 'event.id'),
    ('id', 3, 'gen_ai.response.id'),
    ('error', 1, 'otel.status_code'),
    ('error', 2, 'error')
),

aliases AS (
    SELECT map_from_entries(list({'k': field, 'v': attributes})) AS of
    FROM (SELECT field, list(attribute ORDER BY place) AS attributes FROM alias GROUP BY field)
),

packet AS (
    SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM raw
),

opened AS (
    SELECT
        *,
        list_concat(
            list_concat(
                json_extract(entry, '$.resourceSpans[*].scopeSpans[*].spans[*]'),
                json_extract(entry, '$.resourceSpans[*].instrumentationLibrarySpans[*].spans[*]')
            ),
            list_concat(json_extract(entry, '$.resourceLogs[*].scopeLogs[*].logRecords[*]'), json_extract(entry, '$.spans[*]'))
        ) AS spans
    FROM packet
),

-- a record without spans is one itself, or is refused as a whole
unpacked AS (
    SELECT file_index, line, fault, unnest(CASE WHEN len(spans) > 0 THEN spans ELSE [entry] END) AS span FROM opened
),

-- attributes, or the columns of a data frame that are named attributes.NAME
attributed AS (
    SELECT
        *,
        CASE
            WHEN json_type(given) = 'VARCHAR' THEN coalesce(json_in(given ->> '$'), given)
            WHEN given IS NULL OR json_type(given) = 'NULL' THEN span
            ELSE given
        END AS attributes,
        CASE WHEN given IS NULL OR json_type(given) = 'NULL' THEN 'attributes.' ELSE '' END AS before
    FROM (SELECT *, coalesce(span -> 'attributes', span -> 'tags', span -> 'SpanAttributes') AS given FROM unpacked)
),

keyed AS (
    SELECT
        *,
        json_type(attributes) = 'ARRAY' AS listed,
        CASE
            WHEN json_type(attributes) = 'ARRAY' THEN list_transform(json_extract(attributes, '$[*]'), lambda one: one ->> 'key')
            WHEN json_type(attributes) = 'OBJECT' THEN json_keys(attributes)
            ELSE []::VARCHAR[]
        END AS keys
    FROM attributed
),

-- what a span tells under each of its names
valued AS (
    SELECT
        *,
        map_from_entries(
            list_transform(
                map_keys(of),
                lambda field: {
                    'k': field,
                    'v': list_filter(
                        list_transform(
                            of[field],
                            lambda name: CASE
                                WHEN list_contains(keys, before || name)
                                    THEN CASE
                                        WHEN listed THEN json_extract(attributes, '$[' || (list_position(keys, name) - 1) || '].value')
                                        ELSE json_extract(attributes, '$."' || before || name || '"')
                                    END
                                WHEN NOT listed AND before = '' THEN json_extract(attributes, '$.' || name)
                            END
                        ),
                        lambda value: value IS NOT NULL
                    )
                }
            )
        ) AS value
    FROM keyed CROSS JOIN aliases
),

plain AS (
    SELECT
        file_index,
        line,
        fault,
        span,
        map_from_entries(
            list_transform(
                map_entries(value),
                lambda one: {
                    'k': one.key,
                    'v': list_filter(
                        list_transform(
                            one.value,
                            lambda value: trim(
                                coalesce(
                                    value ->> 'intValue', value ->> 'stringValue', value ->> 'doubleValue', value ->> 'boolValue', value ->> '$'
                                ),
                                ' "'
                            )
                        ),
                        lambda text: is_told(text) AND NOT starts_with(text, '{')
                    )
                }
            )
        ) AS told
    FROM valued
),

field AS (
    SELECT
        *,
        -- 0 is a time that is not known
        coalesce(
            nullif(span ->> 'startTimeUnixNano', '0'), nullif(span ->> 'start_time_unix_nano', '0'), nullif(span ->> 'timeUnixNano', '0'),
            nullif(span ->> 'observedTimeUnixNano', '0')
        ) AS started_ns,
        list_has_any(json_keys(span), ['timeUnixNano', 'observedTimeUnixNano', 'severity_number', 'observed_timestamp']) AS is_log,
        coalesce(span -> 'start_time', span -> 'startTime', span -> 'timestamp', span -> 'Timestamp') AS started_json,
        CASE WHEN json_type(started_json) NOT IN ('ARRAY', 'OBJECT', 'NULL') THEN started_json ->> '$' END AS started,
        coalesce(
            span ->> 'traceId', span ->> 'trace_id', span ->> 'traceID', span ->> 'TraceId', span ->> '$.context.trace_id',
            span ->> '$."context.trace_id"', ''
        ) AS trace,
        coalesce(
            span ->> 'spanId', span ->> 'span_id', span ->> 'spanID', span ->> 'SpanId', span ->> '$.context.span_id',
            span ->> '$."context.span_id"', CASE WHEN trace <> '' THEN span ->> 'id' END
        ) AS own_id,
        coalesce(
            span ->> 'parentSpanId', span ->> 'parent_span_id', span ->> 'ParentSpanId', span ->> 'parent_id', span ->> 'parentId',
            span ->> '$.parentSpanContext.spanId', span ->> '$.references[0].spanID'
        ) AS above_id,
        largest_count(told['input']) AS input_tokens,
        largest_count(told['output']) AS output_tokens,
        largest_count(told['cached']) AS cached_input_tokens,
        largest_count(told['written']) AS written_tokens,
        list_transform(told['operation'], lambda one: lower(one)) AS operations,
        upper(
            coalesce(
                span ->> '$.status.code', span ->> '$.status.status_code', span ->> 'status_code', span ->> 'StatusCode', told['error'][1], ''
            )
        ) IN ('2', 'STATUS_CODE_ERROR', 'ERROR', 'TRUE') AS has_error
    FROM plain
),

read AS (
    SELECT *, told_time(started) AS time_read FROM field
),

clocked AS (
    SELECT
        *,
        list_filter(
            operations,
            lambda one: regexp_matches(one, 'image|moderation|speech|audio|transcri|translat|video|count_?tokens')
        ) AS others,
        -- ClickHouse writes this column in UTC, and without an offset
        CASE
            WHEN started_json = (span -> 'Timestamp') AND NOT has_offset(time_read) THEN rtrim(time_read) || 'Z'
            ELSE time_read
        END AS time_told
    FROM read
),

timed AS (
    SELECT
        *,
        coalesce(
            CASE WHEN TRY_CAST(started_ns AS BIGINT) BETWEEN 0 AND 7000000000000000000 THEN TRY_CAST(started_ns AS BIGINT) // 1000 END,
            -- seconds and nanoseconds
            CASE
                WHEN json_type(started_json) = 'ARRAY'
                    THEN micros_of(started_json ->> 0, 1000000000) + coalesce(micros_of(started_json ->> 1, 1), 0)
            END,
            arrival_micros(time_told),
            epoch_micros(started)
        ) AS start_us,
        nullif(start_us, 0) AS arrival_us
    FROM clocked
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    cached_input_tokens,
    output_tokens,
    told['model'][1] AS class,
    told['session'][1] AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    second_micros(time_told) AS second_us,
    NULL::BIGINT AS elapsed_us,
    written_tokens,
    NULL::VARCHAR AS cached_lies,
    lower(coalesce(told['provider'][1], told['model'][1])) AS teller,
    -- the ids in a log record are those of the span around it, in which there may be several calls
    CASE
        WHEN NOT is_log THEN CASE WHEN is_id(own_id) THEN trace || '/' || own_id END
        WHEN is_id(told['id'][1]) THEN 'record/' || told['id'][1]
    END AS request_id,
    CASE
        WHEN NOT is_id(own_id) THEN NULL
        WHEN is_log THEN trace || '/' || own_id
        WHEN is_id(above_id) THEN trace || '/' || above_id
    END AS span_parent,
    coalesce(
        fault,
        CASE
            WHEN span IS NULL OR json_type(span) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN list_has_any(
                operations,
                [
                    'invoke_agent', 'create_agent', 'execute_tool', 'invoke_workflow', 'agent', 'tool', 'chain', 'retriever', 'retrieval',
                    'workflow', 'task', 'guardrail', 'evaluator', 'evaluation', 'prompt', 'parser', 'memory', 'ai.toolcall', 'span', 'event'
                ]
            ) THEN 'is of an agent, workflow or tool, whose model calls have spans of their own'
            WHEN len(list_filter(operations, lambda one: regexp_matches(one, 'embed|rerank'))) > 0
                THEN 'is of an embedding or ranking, which generates no tokens'
            WHEN len(others) > 0 THEN 'is no generation: its operation is ' || left(others[1], 80)
            WHEN len(told['input']) = 0 AND len(told['output']) = 0
                THEN CASE
                    WHEN has_error AND (len(operations) > 0 OR len(told['model']) > 0) THEN 'failed: has an error and no usage'
                    WHEN len(operations) > 0 OR len(told['model']) > 0 THEN 'has no usage: the tokens of the call are not told'
                    ELSE 'is not a model call: has no usage'
                END
            WHEN start_us = 0 OR coalesce(started_ns, nullif(started_json ->> '$', '0')) IS NULL THEN 'has no start time'
            WHEN arrival_us IS NULL THEN 'its start time is not a time'
            WHEN len(told['input']) = 0 THEN 'has no input tokens'
            WHEN len(told['output']) = 0 THEN 'has no output tokens'
            WHEN input_tokens IS NULL THEN 'input tokens are not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'output tokens are not a whole number from 0 to 2147483647'
            WHEN cached_input_tokens IS NULL AND len(told['cached']) > 0
                THEN 'cached tokens are not a whole number from 0 to 2147483647'
            WHEN written_tokens IS NULL AND len(told['written']) > 0
                THEN 'cache creation tokens are not a whole number from 0 to 2147483647'
            WHEN input_tokens = 0 AND output_tokens = 0 AND coalesce(cached_input_tokens, 0) + coalesce(written_tokens, 0) = 0
                THEN CASE WHEN has_error THEN 'failed: has an error and no usage' ELSE 'has no tokens: 0 in and 0 out' END
        END
    ) AS reason
FROM timed

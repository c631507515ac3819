-- OpenTelemetry spans of model calls: OTLP JSON (many spans per line) or one span per line, attributes as list or object.
WITH alias (field, place, attribute) AS (
    -- names of the conventions of OpenTelemetry, new before old, then those of other instrumentations
    VALUES
    ('input', 1, 'gen_ai.usage.input_tokens'),
    ('input', 2, 'gen_ai.usage.prompt_tokens'),
    ('input', 3, 'llm.usage.prompt_tokens'),
    ('input', 4, 'llm.token_count.prompt'),
    ('input', 5, 'ai.usage.inputTokens'),
    ('input', 6, 'ai.usage.promptTokens'),
    ('output', 1, 'gen_ai.usage.output_tokens'),
    ('output', 2, 'gen_ai.usage.completion_tokens'),
    ('output', 3, 'llm.usage.completion_tokens'),
    ('output', 4, 'llm.token_count.completion'),
    ('output', 5, 'ai.usage.outputTokens'),
    ('output', 6, 'ai.usage.completionTokens'),
    ('cached', 1, 'gen_ai.usage.cache_read.input_tokens'),
    ('cached', 2, 'gen_ai.usage.cache_read_input_tokens'),
    ('cached', 3, 'gen_ai.usage.input_tokens.cached'),
    ('cached', 4, 'gen_ai.usage.cache_read_tokens'),
    ('cached', 5, 'gen_ai.usage.cached_input_tokens'),
    ('cached', 6, 'llm.usage.cache_read_input_tokens'),
    ('cached', 7, 'llm.token_count.prompt_details.cache_read'),
    ('cached', 8, 'ai.usage.cachedInputTokens'),
    ('model', 1, 'gen_ai.request.model'),
    ('model', 2, 'gen_ai.response.model'),
    ('model', 3, 'llm.model_name'),
    ('model', 4, 'ai.model.id'),
    ('session', 1, 'gen_ai.conversation.id'),
    ('session', 2, 'session.id'),
    ('operation', 1, 'gen_ai.operation.name'),
    ('operation', 2, 'openinference.span.kind')
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
            json_extract(entry, '$.resourceSpans[*].scopeSpans[*].spans[*]'),
            json_extract(entry, '$.resourceSpans[*].instrumentationLibrarySpans[*].spans[*]')
        ) AS spans
    FROM packet
),

-- a record without spans is one itself, or is refused as a whole
unpacked AS (
    SELECT file_index, line, fault, unnest(CASE WHEN len(spans) > 0 THEN spans ELSE [entry] END) AS span FROM opened
),

keyed AS (
    SELECT
        *,
        json_type(span -> 'attributes') = 'ARRAY' AS listed,
        CASE
            WHEN json_type(span -> 'attributes') = 'ARRAY' THEN list_transform(json_extract(span, '$.attributes[*]'), lambda one: one ->> 'key')
            WHEN json_type(span -> 'attributes') = 'OBJECT' THEN json_keys(span -> 'attributes')
            ELSE []::VARCHAR[]
        END AS keys
    FROM unpacked
),

-- the values of the first alias that a span has
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
                            list_filter(of[field], lambda name: list_contains(keys, name)),
                            lambda name: CASE
                                WHEN listed THEN json_extract(span, '$.attributes[' || (list_position(keys, name) - 1) || '].value')
                                ELSE json_extract(span, '$.attributes."' || name || '"')
                            END
                        ),
                        lambda value: value IS NOT NULL
                    )[1]
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
                    'v': coalesce(
                        one.value ->> 'intValue', one.value ->> 'stringValue', one.value ->> 'doubleValue', one.value ->> '$'
                    )
                }
            )
        ) AS value
    FROM valued
),

field AS (
    SELECT
        *,
        coalesce(span ->> 'startTimeUnixNano', span ->> 'start_time_unix_nano') AS started_ns,
        coalesce(span ->> 'start_time', span ->> 'startTime', span ->> 'timestamp') AS started,
        token_count(value['input']) AS input_tokens,
        token_count(value['output']) AS output_tokens,
        token_count(coalesce(value['cached'], '0')) AS cached_input_tokens,
        lower(value['operation']) AS operation
    FROM plain
),

timed AS (
    SELECT
        *,
        coalesce(
            CASE WHEN TRY_CAST(started_ns AS BIGINT) BETWEEN 0 AND 7000000000000000000 THEN TRY_CAST(started_ns AS BIGINT) // 1000 END,
            arrival_micros(started)
        ) AS arrival_us
    FROM field
)

SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    cached_input_tokens,
    output_tokens,
    nullif(value['model'], '') AS class,
    nullif(value['session'], '') AS session,
    NULL::VARCHAR AS parent,
    NULL::BIGINT[] AS block_ids,
    NULL::BIGINT AS sample_weight,
    NULL::BIGINT AS block_tokens,
    second_micros(started) AS second_us,
    NULL::BIGINT AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN span IS NULL OR json_type(span) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN operation IN ('invoke_agent', 'create_agent', 'execute_tool', 'agent', 'tool', 'chain', 'retriever')
                THEN 'is of an agent or tool, whose model calls have spans of their own'
            WHEN operation IN ('embeddings', 'embedding', 'reranker') THEN 'is of an embedding or ranking, which generates no tokens'
            WHEN value['input'] IS NULL AND value['output'] IS NULL THEN 'is not a model call: has no usage'
            WHEN arrival_us IS NULL THEN 'has no start time'
            WHEN input_tokens IS NULL THEN 'input tokens are not a whole number from 0 to 2147483647'
            WHEN output_tokens IS NULL THEN 'output tokens are not a whole number from 0 to 2147483647'
            WHEN cached_input_tokens IS NULL THEN 'cached tokens are not a whole number from 0 to 2147483647'
            WHEN cached_input_tokens > input_tokens THEN 'cached tokens exceed the input tokens'
        END
    ) AS reason
FROM timed

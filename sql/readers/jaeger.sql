-- Traces of Jaeger, times in microseconds and tags as a list, as spans of OpenTelemetry.
SELECT
    line,
    fault,
    CASE
        WHEN json_valid(text) AND json_type(text, '$.spans') = 'ARRAY'
            THEN
                to_json({
                    'resourceSpans': [{
                        'scopeSpans': [{
                            'spans': list_transform(
                                json_extract(text, '$.spans[*]'),
                                lambda span: {
                                    'traceId': span ->> '$.traceID',
                                    'spanId': span ->> '$.spanID',
                                    'parentSpanId': list_filter(
                                        json_extract(span, '$.references[*]'),
                                        lambda one: (one ->> '$.refType') = 'CHILD_OF'
                                    )[1] ->> '$.spanID',
                                    'name': span ->> '$.operationName',
                                    'startTimeUnixNano': (TRY_CAST(span ->> '$.startTime' AS HUGEINT) * 1000)::VARCHAR,
                                    'attributes': list_transform(
                                        json_extract(span, '$.tags[*]'),
                                        lambda tag: {'key': tag ->> '$.key', 'value': {'stringValue': tag ->> '$.value'}}
                                    )
                                }
                            )
                        }]
                    }]
                })::VARCHAR
        ELSE text
    END AS text
FROM lines

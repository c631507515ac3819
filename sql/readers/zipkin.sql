-- Spans of Zipkin, times in microseconds and tags as an object, as spans of OpenTelemetry.
SELECT
    line,
    fault,
    CASE
        WHEN json_valid(text) AND json_type(text) = 'OBJECT'
            THEN
                to_json({
                    'traceId': text ->> '$.traceId',
                    'spanId': text ->> '$.id',
                    'parentSpanId': text ->> '$.parentId',
                    'name': text ->> '$.name',
                    'startTimeUnixNano': (TRY_CAST(text ->> '$.timestamp' AS HUGEINT) * 1000)::VARCHAR,
                    'attributes': coalesce(text -> '$.tags', '{}'::JSON)
                })::VARCHAR
        ELSE text
    END AS text
FROM lines

-- Log records of OpenTelemetry as spans, which have the same attributes; a record without a time has that of its arrival.
SELECT
    line,
    fault,
    CASE
        WHEN json_valid(text) AND json_type(text, '$.resourceLogs') = 'ARRAY'
            THEN
                to_json({
                    'resourceSpans': [{
                        'scopeSpans': [{
                            'spans': list_transform(
                                json_extract(text, '$.resourceLogs[*].scopeLogs[*].logRecords[*]'),
                                lambda one: {
                                    'traceId': one ->> '$.traceId',
                                    'spanId': one ->> '$.spanId',
                                    'name': one ->> '$.eventName',
                                    'startTimeUnixNano': coalesce(
                                        nullif(one ->> '$.timeUnixNano', '0'), one ->> '$.observedTimeUnixNano'
                                    ),
                                    'attributes': one -> '$.attributes'
                                }
                            )
                        }]
                    }]
                })::VARCHAR
        ELSE text
    END AS text
FROM lines

-- A trace's requests in order of arrival, as they are stored: cached tokens are NULL where they are unknown.
-- @param trace_id  the trace
SELECT
    arrival_us,
    input_tokens,
    cached_input_tokens,
    output_tokens,
    class_id,
    session_id
FROM request
WHERE trace_id = $trace_id
ORDER BY arrival_us, request_seq;

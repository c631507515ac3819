-- A trace's requests in a time window, in the order in which they are stored.
-- @param trace_id  the trace
-- @param start_us  first microsecond of the window, since the epoch
-- @param end_us  first microsecond after it
SELECT
    arrival_us,
    input_tokens,
    coalesce(cached_input_tokens, 0) AS cached_input_tokens,
    output_tokens,
    class_id,
    coalesce(session_id, -1) AS session_id
FROM request
WHERE trace_id = $trace_id AND arrival_us >= $start_us AND arrival_us < $end_us;

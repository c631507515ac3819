-- Demand windows of a trace in time order, as they are stored: cached tokens are NULL where none are known.
-- @param trace_id  the trace
SELECT
    window_start_us,
    window_end_us,
    requests,
    requests_with_lengths,
    input_tokens,
    cached_input_tokens,
    least(cached_unknown, requests_with_lengths) AS cached_unknown,
    output_tokens
FROM demand_window
WHERE trace_id = $trace_id
ORDER BY window_start_us;

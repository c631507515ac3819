-- Demand windows of a trace that has no individual requests, in time order.
-- @public
-- @param trace_id  the trace
SELECT
    window_start_us,
    window_end_us,
    requests,
    requests_with_lengths,
    input_tokens,
    coalesce(cached_input_tokens, 0) AS cached_input_tokens,
    output_tokens
FROM demand_window
WHERE trace_id = $trace_id
ORDER BY window_start_us;

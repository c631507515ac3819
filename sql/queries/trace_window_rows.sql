-- How many requests a trace has in a time window.
-- @param trace_id  the trace
-- @param start_us  first microsecond of the window, since the epoch
-- @param end_us  first microsecond after it
SELECT count(*) AS row_count
FROM request
WHERE trace_id = $trace_id AND arrival_us >= $start_us AND arrival_us < $end_us;

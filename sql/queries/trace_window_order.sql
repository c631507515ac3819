-- When a trace's requests in a time window arrive, in the order in which they are stored.
-- @param trace_id  the trace
-- @param start_us  first microsecond of the window, since the epoch
-- @param end_us  first microsecond after it
SELECT arrival_us
FROM request
WHERE trace_id = $trace_id AND arrival_us >= $start_us AND arrival_us < $end_us;

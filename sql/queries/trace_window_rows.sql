-- How many requests a trace has in a time window, and how many of them belong to a session.
-- @param trace_id  the trace
-- @param start_us  first microsecond of the window, since the epoch
-- @param end_us  first microsecond after it
SELECT
    count(*) AS row_count,
    count(session_id) AS session_rows
FROM request
WHERE trace_id = $trace_id AND arrival_us >= $start_us AND arrival_us < $end_us;

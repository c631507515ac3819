-- How many classes a trace has; 0 where it has none.
-- @param trace_id  the trace
SELECT count(*) AS classes FROM request_class WHERE trace_id = $trace_id;

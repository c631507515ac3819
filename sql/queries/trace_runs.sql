-- Runs that were made from a trace.
-- @param trace_id  the trace
SELECT run_id FROM run WHERE trace_id = $trace_id ORDER BY run_id;

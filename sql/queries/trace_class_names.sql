-- The classes of a trace by number.
-- @param trace_id  the trace
SELECT class_id, class FROM request_class WHERE trace_id = $trace_id ORDER BY class_id;

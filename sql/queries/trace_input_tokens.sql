-- Input tokens of a trace's requests, in order.
-- @param trace_id  the trace
SELECT input_tokens
FROM request
WHERE trace_id = $trace_id
ORDER BY request_seq;

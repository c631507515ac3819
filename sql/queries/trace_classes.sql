-- What each class of a trace asks for: requests and tokens of the stored rows, most requests first.
-- @param trace_id  the trace
SELECT
    c.class,
    count(*) AS row_count,
    sum(r.input_tokens)::BIGINT AS input_tokens,
    coalesce(sum(r.cached_input_tokens), 0)::BIGINT AS cached_input_tokens,
    sum(r.output_tokens)::BIGINT AS output_tokens
FROM request AS r
INNER JOIN request_class AS c ON c.trace_id = r.trace_id AND c.class_id = r.class_id
WHERE r.trace_id = $trace_id
GROUP BY c.class
ORDER BY row_count DESC, c.class;

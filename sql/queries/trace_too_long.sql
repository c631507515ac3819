-- Requests of a trace that are longer than a unit can serve: how many rows, their tokens, the longest of all rows.
-- @param trace_id  the trace
-- @param longest_tokens  input and output tokens of the longest request that can be served
SELECT
    count(*) FILTER (WHERE tokens > $longest_tokens) AS row_count,
    coalesce(sum(tokens) FILTER (WHERE tokens > $longest_tokens), 0)::BIGINT AS tokens,
    sum(tokens)::BIGINT AS all_tokens,
    max(tokens) AS longest_tokens
FROM (SELECT input_tokens::BIGINT + output_tokens AS tokens FROM request WHERE trace_id = $trace_id) AS request_length;

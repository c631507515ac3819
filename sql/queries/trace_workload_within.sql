-- The workload of a trace as in trace_workload, of its requests that a unit can serve.
-- @param trace_id  the trace
-- @param longest_tokens  input and output tokens of the longest request that counts
SELECT
    sum(output_tokens::DOUBLE * (input_tokens + output_tokens / 2.0)) / nullif(sum(output_tokens), 0) AS kv_tokens,
    sum(cached_input_tokens)::DOUBLE / nullif(sum(input_tokens), 0) AS hit_ratio,
    sum((input_tokens - cached_input_tokens)::DOUBLE * (input_tokens + cached_input_tokens) / 2.0)
        / nullif(sum(input_tokens - cached_input_tokens), 0) AS missed_context_tokens,
    avg(input_tokens) AS input_tokens,
    avg(output_tokens) AS output_tokens
FROM request
WHERE trace_id = $trace_id AND input_tokens::BIGINT + output_tokens <= $longest_tokens;

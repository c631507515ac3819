-- The workload of a trace per token: mean KV length of an output token, share of input found in the cache, mean
-- attention context of missed tokens sum(m*(h + m/2))/sum(m), and mean tokens per request. NULL where nothing is asked.
-- @public
-- @param trace_id  the trace
SELECT
    sum(output_tokens::DOUBLE * (input_tokens + output_tokens / 2.0)) / nullif(sum(output_tokens), 0) AS kv_tokens,
    sum(cached_input_tokens)::DOUBLE / nullif(sum(input_tokens), 0) AS hit_ratio,
    sum((input_tokens - cached_input_tokens)::DOUBLE * (input_tokens + cached_input_tokens) / 2.0)
        / nullif(sum(input_tokens - cached_input_tokens), 0) AS missed_context_tokens,
    avg(input_tokens) AS input_tokens,
    avg(output_tokens) AS output_tokens
FROM (SELECT * REPLACE (coalesce(cached_input_tokens, 0) AS cached_input_tokens) FROM request)
WHERE trace_id = $trace_id;

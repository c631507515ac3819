-- Prompts of a trace by length as in trace_prompts, at another share of cache hits: a request keeps a part of its hits,
-- and of what is left misses a part. Input and cached tokens are those of the trace.
-- @param trace_id  the trace
-- @param hits  the part of its hits that a request keeps
-- @param misses  the part of the rest that it misses
SELECT
    floor(8 * log2(1 + $misses::DOUBLE * (input_tokens - $hits::DOUBLE * cached_input_tokens)))::INTEGER AS length_class,
    count(*) AS requests,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(cached_input_tokens)::BIGINT AS cached_input_tokens
FROM (SELECT * REPLACE (coalesce(cached_input_tokens, 0) AS cached_input_tokens) FROM request)
WHERE trace_id = $trace_id
GROUP BY length_class
ORDER BY length_class;

-- Prompts of a trace by length, eight classes per doubling of the tokens not found in the cache: requests, and their
-- tokens found and not found in the cache.
-- @public
-- @param trace_id  the trace
SELECT
    floor(8 * log2(1 + input_tokens - coalesce(cached_input_tokens, 0)))::integer AS length_class,
    count(*) AS requests,
    sum(input_tokens - coalesce(cached_input_tokens, 0))::bigint AS missed_tokens,
    sum(coalesce(cached_input_tokens, 0))::bigint AS hit_tokens
FROM request
WHERE trace_id = $trace_id
GROUP BY length_class
ORDER BY length_class;

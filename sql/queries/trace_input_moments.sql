-- Sums over the requests of a trace that a unit can serve, for the attention context at another share of cache hits:
-- input and cached tokens, their squares and their products. Sums of whole numbers are exact.
-- @param trace_id  the trace
-- @param longest_tokens  input and output tokens of the longest request that counts
SELECT
    sum(input_tokens)::DOUBLE AS inputs,
    sum(cached_input_tokens)::DOUBLE AS hits,
    sum(input_tokens::BIGINT * input_tokens)::DOUBLE AS inputs_squared,
    sum(input_tokens::BIGINT * cached_input_tokens)::DOUBLE AS inputs_times_hits,
    sum(cached_input_tokens::BIGINT * cached_input_tokens)::DOUBLE AS hits_squared
FROM (SELECT * REPLACE (coalesce(cached_input_tokens, 0) AS cached_input_tokens) FROM request)
WHERE trace_id = $trace_id AND input_tokens::BIGINT + output_tokens <= $longest_tokens;

-- The first windows as they are stored.
SELECT file_index, line, start_us, end_us, requests, input_tokens, cached_input_tokens, output_tokens
FROM imported
ORDER BY start_us, file_index, line
LIMIT 10

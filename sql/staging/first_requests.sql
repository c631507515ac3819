-- The first requests as they are stored, cached tokens as the log tells them.
SELECT file_index, line, arrival_us, input_tokens, cached_input_tokens, output_tokens, class, session
FROM imported
ORDER BY arrival_us, file_index, line
LIMIT 10

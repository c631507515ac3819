-- Imported rows without an id that are equal to another one before, and those whose equal is in another file.
SELECT coalesce(sum(copies - 1), 0)::BIGINT AS equal, coalesce(sum(copies - 1) FILTER (WHERE files > 1), 0)::BIGINT AS across
FROM (
    SELECT count(*) AS copies, count(DISTINCT file_index) AS files
    FROM imported
    WHERE request_id IS NULL
    GROUP BY arrival_us, input_tokens, cached_input_tokens, output_tokens, class, session, parent, block_ids
    HAVING copies > 1
)

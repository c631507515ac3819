-- Imported rows without an id that are equal to another one before, and those whose equal is in another file. Rows are told
-- apart by a hash of 64 bits: a pair of different ones among 20 million has the same by a chance of 1 in 90,000.
SELECT coalesce(sum(copies - 1), 0)::BIGINT AS equal, coalesce(sum(copies - 1) FILTER (WHERE across), 0)::BIGINT AS across
FROM (
    SELECT count(*) AS copies, min(file_index) <> max(file_index) AS across
    FROM imported
    WHERE request_id IS NULL
    GROUP BY hash(arrival_us, input_tokens, cached_input_tokens, output_tokens, class, session, parent, block_ids)
    HAVING copies > 1
)

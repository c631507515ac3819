-- Imported requests, to be ordered by arrival, then by place in the files. Sessions that are numbers keep them, others are ranked.
SELECT
    file_index,
    line,
    arrival_us,
    input_tokens,
    cached_input_tokens,
    output_tokens,
    (dense_rank() OVER (ORDER BY coalesce(class, '')) - 1)::SMALLINT AS class_id,
    CASE
        WHEN $numbered_sessions THEN TRY_CAST(session AS BIGINT)
        WHEN session IS NOT NULL THEN dense_rank() OVER (ORDER BY session) - 1
    END AS session_id,
    block_ids::BIGINT[] AS block_ids
FROM imported

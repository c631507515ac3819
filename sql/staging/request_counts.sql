-- Rows read and imported, and which optional fields the imported ones have.
SELECT
    count(*) AS rows_read,
    count(*) FILTER (WHERE reason IS NULL) AS rows_imported,
    count(*) FILTER (WHERE is_left_out(reason)) AS rows_left_out,
    count(class) FILTER (WHERE reason IS NULL) > 0 AS has_class,
    count(session) FILTER (WHERE reason IS NULL) > 0 AS has_session,
    count(parent) FILTER (WHERE reason IS NULL) > 0 AS has_parent,
    count(block_ids) FILTER (WHERE reason IS NULL) > 0 AS has_blocks,
    coalesce(min(coalesce(sample_weight, 1)) FILTER (WHERE reason IS NULL), 1) AS sample_weight,
    coalesce(max(coalesce(sample_weight, 1)) FILTER (WHERE reason IS NULL), 1) AS largest_sample_weight,
    coalesce(
        bool_and(session IS NULL OR TRY_CAST(session AS BIGINT) IS NOT NULL) FILTER (WHERE reason IS NULL), false
    ) AS numbered_sessions,
    min(block_tokens) FILTER (WHERE reason IS NULL) AS smallest_block_tokens,
    max(block_tokens) FILTER (WHERE reason IS NULL) AS block_tokens,
    count(second_us) FILTER (WHERE reason IS NULL) AS repeated,
    min(elapsed_us) FILTER (WHERE reason IS NULL) AS least_elapsed_us,
    count(*) FILTER (WHERE reason IS NULL AND cached_lies IS NULL AND (cached_input_tokens > 0 OR written_tokens > 0)) AS untold,
    count(*) FILTER (WHERE reason IS NULL AND (cached_input_tokens IS NOT NULL OR written_tokens IS NOT NULL)) AS with_cached
FROM parsed;

-- Whether ids of prefix blocks are below 0, and whether any is above 2^63 - 1, over the rows that can be imported.
SELECT
    coalesce(bool_or(list_min(block_ids) < 0), false) AS any_negative,
    coalesce(bool_or(list_max(block_ids) > 9223372036854775807), false) AS any_unsigned
FROM parsed_lines
WHERE block_ids IS NOT NULL AND reason IS NULL

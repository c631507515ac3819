-- Give rows with prefix blocks their size, and refuse those that it does not fit.
UPDATE parsed_lines
SET
    block_tokens = $block_tokens::BIGINT,
    reason = coalesce(
        reason,
        CASE
            WHEN len(block_ids) <> (input_tokens + $block_tokens::BIGINT - 1) // $block_tokens::BIGINT
                THEN 'hash_ids does not hold one id per ' || $block_tokens::VARCHAR || ' input tokens'
        END
    )
WHERE block_ids IS NOT NULL

-- Sizes that prefix blocks may have, in tokens, and how many rows each fits, the best first: some that are given, and those
-- that the rows with the most blocks need. least and most: the sizes that fit all rows, where least <= most.
WITH prompt AS (
    SELECT len(block_ids) AS blocks, input_tokens AS tokens FROM imported WHERE len(block_ids) > 0
),

size AS (
    SELECT unnest($sizes::BIGINT[]) AS size
    UNION
    SELECT * FROM (SELECT (tokens + blocks - 1) // blocks FROM prompt WHERE tokens > 0 ORDER BY blocks DESC LIMIT 100)
),

bound AS (
    SELECT
        max((tokens + blocks - 1) // blocks) AS least,
        min(CASE WHEN blocks > 1 THEN (tokens - 1) // (blocks - 1) END) AS most
    FROM prompt
)

SELECT
    size.size,
    count(*) FILTER (WHERE prompt.blocks = (prompt.tokens + size.size - 1) // size.size) AS rows_that_fit,
    count(*) AS rows,
    any_value(bound.least) AS least,
    any_value(bound.most) AS most
FROM prompt, size, bound
GROUP BY size.size
ORDER BY rows_that_fit DESC, size.size

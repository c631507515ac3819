-- Whose rows prove that cached tokens lie outside their input: one of them has more of these than of that.
-- proofs: such rows. cached_rows: rows with cached tokens.
CREATE OR REPLACE TABLE outside AS
SELECT
    coalesce(teller, '') AS teller,
    count(*) FILTER (WHERE coalesce(cached_input_tokens, 0) + coalesce(written_tokens, 0) > input_tokens) AS proofs,
    count(*) AS cached_rows
FROM told
WHERE reason IS NULL AND cached_lies IS NULL AND coalesce(cached_input_tokens, 0) + coalesce(written_tokens, 0) > 0
GROUP BY ALL

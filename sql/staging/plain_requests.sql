-- Every row in file order: what is stored of a plain request, whether it is refused, and whether more is to be stored.
SELECT
    arrival_us,
    input_tokens::INTEGER AS input_tokens,
    cached_input_tokens::INTEGER AS cached_input_tokens,
    output_tokens::INTEGER AS output_tokens,
    reason IS NOT NULL AS refused,
    class IS NOT NULL OR session IS NOT NULL OR block_ids IS NOT NULL OR sample_weight IS NOT NULL AS more
FROM parsed

-- Every row in file order: what is stored of a plain request, whether it is refused or left out, and whether more is to be stored.
-- NULL where a number cannot be stored, as a damaged Parquet file may contain beyond its own statistics.
SELECT
    arrival_us,
    TRY_CAST(input_tokens AS INTEGER) AS input_tokens,
    TRY_CAST(cached_input_tokens AS INTEGER) AS cached_input_tokens,
    TRY_CAST(output_tokens AS INTEGER) AS output_tokens,
    reason IS NOT NULL AS refused,
    coalesce(is_left_out(reason), false) AS left_out,
    class IS NOT NULL OR session IS NOT NULL OR block_ids IS NOT NULL OR sample_weight IS NOT NULL OR second_us IS NOT NULL
    OR request_id IS NOT NULL OR teller IS NOT NULL
    OR (
        cached_lies IS NULL AND $decides
        AND coalesce(cached_input_tokens, 0) + coalesce(written_tokens, 0) > input_tokens
    ) AS more,
    elapsed_us
FROM parsed

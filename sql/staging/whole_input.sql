-- Rows with all that was read as input: where cached tokens lie outside the input that is told, they are added to it.
-- The relation `told` has the rows as readers give them, `outside` those whose rows do not tell, and leave them out.
SELECT
    told.* REPLACE (
        CASE
            WHEN coalesce(cached_lies, $untold) = 'outside'
                THEN input_tokens + coalesce(cached_input_tokens, 0) + coalesce(written_tokens, 0)
            ELSE input_tokens
        END AS input_tokens,
        coalesce(
            reason,
            CASE
                WHEN coalesce(cached_input_tokens, 0) + coalesce(written_tokens, 0) <= 0 THEN NULL
                WHEN coalesce(cached_lies, $untold) <> 'outside'
                    AND coalesce(cached_input_tokens, 0) + coalesce(written_tokens, 0) > input_tokens
                    THEN 'cached tokens exceed the input tokens'
                WHEN coalesce(cached_lies, $untold) = 'outside'
                    AND input_tokens + coalesce(cached_input_tokens, 0) + coalesce(written_tokens, 0) > $most
                    THEN 'input and cached tokens together exceed 2147483647'
            END
        ) AS reason
    )
FROM told

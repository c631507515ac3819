-- Rows, of those with one id the one that tells most; the others, and spans that sum up the calls below them, are refused.
CREATE OR REPLACE TABLE settled AS
WITH own AS (
    SELECT
        parsed.* REPLACE (
            coalesce(
                parsed.reason,
                CASE WHEN summing.request_id IS NOT NULL THEN 'sums up the model calls below it, which are counted themselves' END
            ) AS reason
        )
    FROM parsed LEFT JOIN summing ON parsed.request_id = summing.request_id
),

ranked AS (
    SELECT
        *,
        CASE
            WHEN request_id IS NOT NULL AND reason IS NULL
                THEN row_number() OVER (
                    PARTITION BY request_id, reason IS NULL
                    ORDER BY output_tokens DESC, input_tokens DESC, cached_input_tokens DESC NULLS LAST, arrival_us, class,
                        session, file_index, line
                )
        END AS place
    FROM own
)

SELECT
    * EXCLUDE (place) REPLACE (
        coalesce(reason, CASE WHEN place > 1 THEN 'repeats request id: another row has the same' END) AS reason
    )
FROM ranked

-- ServeGen: requests per second of a client in windows of ten minutes, and the mean lengths that apply.
-- @param start_us  moment that second 0 stands for, microseconds since the epoch
WITH field AS (
    SELECT
        *,
        TRY_CAST(t AS DOUBLE) AS at_s,
        TRY_CAST(rate AS DOUBLE) * 600 AS requests_there,
        TRY_CAST(input_mean AS DOUBLE) AS mean_in,
        TRY_CAST(output_mean AS DOUBLE) AS mean_out
    FROM raw
),

checked AS (
    SELECT
        *,
        coalesce(
            fault,
            CASE
                WHEN at_s IS NULL OR NOT at_s BETWEEN 0 AND 1e10 OR at_s <> floor(at_s) THEN 't is not a whole number of seconds from 0'
                WHEN requests_there IS NULL OR NOT requests_there BETWEEN 0 AND 1e12 THEN 'rate is not a number from 0'
                WHEN abs(requests_there - round(requests_there)) > 1e-6 THEN 'rate times 600 s is not a whole number of requests'
                WHEN coalesce(trim(pattern), '') NOT IN ('', 'Gamma', 'Weibull') THEN 'pattern is not Gamma, Weibull or empty'
            END
        ) AS reason
    FROM field
)

SELECT
    file_index,
    line,
    $start_us::BIGINT + CASE WHEN reason IS NULL THEN at_s::BIGINT END * 1000000 AS start_us,
    $start_us::BIGINT + CASE WHEN reason IS NULL THEN at_s::BIGINT END * 1000000 + 600000000 AS end_us,
    CASE WHEN reason IS NULL THEN round(requests_there)::BIGINT END AS requests,
    CASE WHEN mean_in IS NULL THEN 0 WHEN reason IS NULL THEN round(requests_there)::BIGINT END AS requests_with_lengths,
    CASE WHEN mean_in IS NULL THEN 0 WHEN reason IS NULL THEN round(requests_there) * mean_in END AS input_tokens,
    NULL::DOUBLE AS cached_input_tokens,
    CASE WHEN mean_in IS NULL THEN 0 WHEN reason IS NULL THEN round(requests_there) * mean_out END AS output_tokens,
    NULL::BIGINT AS elapsed_us,
    reason
FROM checked

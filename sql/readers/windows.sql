-- Demand per window with a column per field: the form to which the data of any monitoring system can be converted.
-- @param timezone  zone of times without an offset
-- @param start_us  moment that time 0 stands for where times are numbers, microseconds since the epoch
-- @param unit_us   microseconds of one unit where times are numbers
WITH field AS (
    SELECT
        *,
        coalesce(arrival_micros($timezone, window_start), $start_us::BIGINT + micros_of(window_start, $unit_us::BIGINT)) AS start_us,
        coalesce(arrival_micros($timezone, window_end), $start_us::BIGINT + micros_of(window_end, $unit_us::BIGINT)) AS end_us,
        whole_number(requests::VARCHAR) AS count_there,
        whole_number(input_tokens::VARCHAR) AS input_there,
        whole_number(coalesce(nullif(trim(cached_input_tokens::VARCHAR), ''), '0')) AS cached_there,
        whole_number(output_tokens::VARCHAR) AS output_there
    FROM raw
)

SELECT
    file_index,
    line,
    start_us,
    end_us,
    count_there AS requests,
    count_there AS requests_with_lengths,
    input_there AS input_tokens,
    cached_there AS cached_input_tokens,
    output_there AS output_tokens,
    coalesce(
        fault,
        CASE
            WHEN start_us IS NULL THEN 'window_start is not a time'
            WHEN end_us IS NULL THEN 'window_end is not a time'
            WHEN end_us <= start_us THEN 'window_end is not after window_start'
            WHEN count_there IS NULL THEN 'requests is not a whole number from 0'
            WHEN input_there IS NULL THEN 'input_tokens is not a whole number from 0'
            WHEN output_there IS NULL THEN 'output_tokens is not a whole number from 0'
            WHEN cached_there IS NULL THEN 'cached_input_tokens is not a whole number from 0'
            WHEN cached_there > input_there THEN 'cached_input_tokens exceeds input_tokens'
        END
    ) AS reason
FROM field

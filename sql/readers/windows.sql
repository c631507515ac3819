-- Demand per window with a column per field: the form to which the data of any monitoring system can be converted.
-- Times that are numbers count from 1970 where that makes plausible times of them and no other start is stated.
-- @param start_us    moment that time 0 stands for where times are numbers, microseconds since the epoch
-- @param is_started  whether the user stated it
-- @param unit_ns     nanoseconds of one unit where times are numbers
WITH timed AS (
    SELECT *, told_time(window_start) AS start_told, told_time(window_end) AS end_told FROM raw
),

clocked AS (
    SELECT
        *,
        arrival_micros(start_told) AS start_clock,
        arrival_micros(end_told) AS end_clock,
        second_micros(start_told) AS start_second,
        second_micros(end_told) AS end_second,
        micros_of(window_start, $unit_ns::BIGINT) AS start_number,
        micros_of(window_end, $unit_ns::BIGINT) AS end_number
    FROM timed
),

field AS (
    SELECT
        *,
        coalesce(start_clock, number_micros(start_number, $start_us::BIGINT, $is_started)) AS start_us,
        coalesce(end_clock, number_micros(end_number, $start_us::BIGINT, $is_started)) AS end_us,
        whole_number(requests::VARCHAR) AS count_there,
        whole_number(input_tokens::VARCHAR) AS input_there,
        whole_number(cached_input_tokens::VARCHAR) AS cached_there,
        whole_number(cache_creation_input_tokens::VARCHAR) AS written_there,
        whole_number(output_tokens::VARCHAR) AS output_there
    FROM clocked
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
    written_there AS written_tokens,
    output_there AS output_tokens,
    start_second AS second_us,
    end_second AS end_second_us,
    CASE WHEN start_clock IS NULL THEN start_number END AS elapsed_us,
    coalesce(
        fault,
        CASE
            WHEN start_us IS NULL THEN time_fault('window_start', window_start, start_told)
            WHEN end_us IS NULL THEN time_fault('window_end', window_end, end_told)
            WHEN end_us <= start_us AND start_second IS NULL THEN 'window_end is not after window_start'
            WHEN count_there IS NULL THEN 'requests is not a whole number from 0'
            WHEN input_there IS NULL THEN 'input_tokens is not a whole number from 0'
            WHEN output_there IS NULL THEN 'output_tokens is not a whole number from 0'
            WHEN cached_there IS NULL AND is_told(cached_input_tokens) THEN 'cached_input_tokens is not a whole number from 0'
            WHEN written_there IS NULL AND is_told(cache_creation_input_tokens)
                THEN 'cache_creation_input_tokens is not a whole number from 0'
        END
    ) AS reason
FROM field

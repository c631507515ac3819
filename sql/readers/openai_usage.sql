-- OpenAI's usage of completions: buckets of demand, one result per group. Input tokens count the cached ones.
WITH page AS (
    SELECT *, CASE WHEN json_valid(text) THEN text::JSON END AS entry FROM raw
),

bucket AS (
    SELECT
        file_index,
        line,
        fault,
        unnest(CASE WHEN json_array_length(entry -> 'data') > 0 THEN json_extract(entry, '$.data[*]') ELSE [entry] END) AS entry
    FROM page
),

result AS (
    SELECT
        *,
        -- a bucket without results is a time without requests
        unnest(
            CASE
                WHEN json_array_length(entry -> 'results') > 0 THEN json_extract(entry, '$.results[*]')
                WHEN json_type(entry -> 'results') = 'ARRAY'
                    THEN ['{"num_model_requests": 0, "input_tokens": 0, "input_cached_tokens": 0, "output_tokens": 0}'::JSON]
                ELSE [NULL::JSON]
            END
        ) AS found
    FROM bucket
),

field AS (
    SELECT
        *,
        whole_number(entry ->> 'start_time') AS start_s,
        whole_number(entry ->> 'end_time') AS end_s,
        whole_number(found ->> 'num_model_requests') AS requests,
        whole_number(found ->> 'input_tokens') AS input_tokens,
        whole_number(found ->> 'input_cached_tokens') AS cached_input_tokens,
        whole_number(found ->> 'output_tokens') AS output_tokens
    FROM result
)

SELECT
    file_index,
    line,
    CASE WHEN start_s < 9000000000 THEN start_s * 1000000 END AS start_us,
    CASE WHEN end_s < 9000000000 THEN end_s * 1000000 END AS end_us,
    requests,
    requests AS requests_with_lengths,
    input_tokens,
    cached_input_tokens,
    output_tokens,
    NULL::BIGINT AS elapsed_us,
    'inside' AS cached_lies,
    coalesce(
        fault,
        CASE
            WHEN entry IS NULL OR json_type(entry) <> 'OBJECT' THEN 'is not a JSON object'
            WHEN start_s IS NULL OR start_s >= 9000000000 THEN 'start_time is not a number of seconds since 1970'
            WHEN end_s IS NULL OR end_s >= 9000000000 OR end_s <= start_s THEN 'end_time is not a number of seconds after start_time'
            WHEN found IS NULL OR json_type(found) <> 'OBJECT' THEN 'results is not a list of objects'
            WHEN requests IS NULL THEN 'num_model_requests is not a whole number from 0'
            WHEN input_tokens IS NULL THEN 'input_tokens is not a whole number from 0'
            WHEN output_tokens IS NULL THEN 'output_tokens is not a whole number from 0'
            WHEN cached_input_tokens IS NULL AND is_told(found ->> 'input_cached_tokens')
                THEN 'input_cached_tokens is not a whole number from 0'
        END
    ) AS reason
FROM field

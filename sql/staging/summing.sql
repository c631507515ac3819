-- A record of a log that tells the same tokens as the span around it is that call once more.
UPDATE kept
SET request_id = kept.span_parent, span_parent = NULL
FROM (SELECT request_id, input_tokens, output_tokens FROM kept WHERE $has_parents AND request_id IS NOT NULL AND reason IS NULL) AS span
WHERE
    kept.span_parent = span.request_id
    AND (kept.request_id IS NULL OR starts_with(kept.request_id, 'record/'))
    AND kept.input_tokens = span.input_tokens
    AND kept.output_tokens = span.output_tokens;

-- Spans that sum up the calls below them: any ancestor of a call, however many spans without usage lie between.
CREATE OR REPLACE TABLE summing AS
WITH RECURSIVE span AS (
    SELECT DISTINCT request_id, span_parent FROM parsed WHERE $has_parents AND span_parent IS NOT NULL AND span_parent <> request_id
),

above AS (
    SELECT span.span_parent AS request_id
    FROM span JOIN parsed ON parsed.request_id = span.request_id
    WHERE parsed.reason IS NULL
    UNION
    -- records of logs may have no id
    SELECT span_parent FROM parsed WHERE $has_parents AND request_id IS NULL AND span_parent IS NOT NULL AND reason IS NULL
),

all_above AS (
    SELECT request_id FROM above
    UNION
    SELECT span.span_parent FROM all_above JOIN span ON span.request_id = all_above.request_id
)

SELECT request_id FROM all_above

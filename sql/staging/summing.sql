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
    SELECT span.span_parent FROM above JOIN span ON span.request_id = above.request_id
)

SELECT request_id FROM above

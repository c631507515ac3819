-- Whether rows have ids, and spans around them: see parsed_request.
SELECT
    EXISTS (SELECT 1 FROM told WHERE request_id IS NOT NULL) AS has_id,
    EXISTS (SELECT 1 FROM told WHERE span_parent IS NOT NULL) AS has_parents

-- Which of the optional columns that need a look at all rows are there: see parsed_request.
SELECT count(request_id) > 0 AS has_id, count(span_parent) > 0 AS has_parents FROM parsed

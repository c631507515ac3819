-- Rows as they were read, those of the table `moved` with the times, and the reason to refuse them, that it has of them.
SELECT
    one.* REPLACE (
        CASE WHEN moved.line IS NULL THEN one.start_us ELSE moved.start_us END AS start_us,
        CASE WHEN moved.line IS NULL THEN one.end_us ELSE moved.end_us END AS end_us,
        coalesce(one.reason, moved.reason) AS reason
    )
FROM parsed_as_read AS one LEFT JOIN moved ON one.file_index = moved.file_index AND one.line = moved.line

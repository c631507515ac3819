-- Rows as they were read, those of the table `moved` at the second moment at which the clock shows their arrival.
SELECT one.* REPLACE (CASE WHEN moved.line IS NULL THEN one.arrival_us ELSE one.second_us END AS arrival_us)
FROM parsed_as_read AS one LEFT JOIN moved ON one.file_index = moved.file_index AND one.line = moved.line

-- Imported rows whose arrival a local clock shows twice, in file order; trend: whether the times of their file, apart from
-- such ones, get later (above 0) or earlier (below 0) from line to line.
SELECT file_index, line, arrival_us, second_us, trend
FROM imported
JOIN (
    SELECT
        file_index,
        -- all that is shown twice counts as one time: it lies in one hour
        covar_pop(line, CASE WHEN second_us IS NULL THEN arrival_us ELSE arrival_us - arrival_us % 3600000000 END) AS trend
    FROM imported
    GROUP BY file_index
) AS whole USING (file_index)
WHERE second_us IS NOT NULL
ORDER BY file_index, line

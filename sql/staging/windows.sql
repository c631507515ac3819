-- Imported windows in file order.
SELECT * EXCLUDE (reason) FROM imported ORDER BY file_index, line;

-- Imported rows whose arrival a local clock shows twice, in file order.
SELECT file_index, line, arrival_us, second_us FROM imported WHERE second_us IS NOT NULL ORDER BY file_index, line

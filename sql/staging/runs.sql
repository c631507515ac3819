-- Records that the imported rows are elements of, as the runs of a benchmark.
SELECT count(DISTINCT (file_index, line)) FROM imported

-- 90 % bands of one run's figures, where its capacities were modelled.
-- @public
-- @param run_id  the run
SELECT figure, value, low, high, measured FROM run_band WHERE run_id = $run_id ORDER BY figure;

-- 90 % bands of one run's figures: of a plan on modelled capacities, and of a replay of both ends (tpot_ms.p99).
-- @public
-- @param run_id  the run
SELECT figure, value, low, high, measured FROM run_band WHERE run_id = $run_id ORDER BY figure;

-- Demand, units, nodes by state, capacity, shortfall, cost and revenue of every interval of one run.
-- @public
-- @param run_id  the run
SELECT plan_interval.* EXCLUDE (run_id), demand_interval.* EXCLUDE (run_id, interval_start), ledger_interval.* EXCLUDE (run_id, interval_start)
FROM plan_interval
JOIN demand_interval USING (run_id, interval_start)
JOIN ledger_interval USING (run_id, interval_start)
WHERE run_id = $run_id
ORDER BY interval_start;

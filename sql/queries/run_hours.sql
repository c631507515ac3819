-- Nodes, cost, revenue and shortfall per local clock hour of one run.
-- @public
-- @param run_id  the run
SELECT * EXCLUDE (run_id) FROM hourly_economics WHERE run_id = $run_id ORDER BY hour_start;

-- Every run with its main figures, newest last.
-- @public
SELECT run_id, created_at, scenario, trace, policy, demand_source, peak_nodes, mean_nodes, cost_usd, revenue_usd, revenue_served_usd, shortfall_ratio
FROM run_summary
ORDER BY created_at, run_id;

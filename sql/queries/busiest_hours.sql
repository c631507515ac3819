-- The ten hours with the most output tokens over all runs.
-- @public
SELECT run_id, hour_start, output_tokens, peak_nodes, cost_usd, revenue_usd
FROM hourly_economics
ORDER BY output_tokens DESC, run_id, hour_start
LIMIT 10;

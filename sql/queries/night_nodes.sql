-- Planned nodes of every nightly run, in order.
SELECT run_id, list(inference_nodes ORDER BY interval_start) AS nodes
FROM plan_interval
JOIN job_run USING (run_id)
GROUP BY run_id;

-- Nodes by state in every interval, as means over the interval.
CREATE OR REPLACE VIEW node_timeline AS
SELECT
    plan_interval.run_id,
    interval_start,
    inference_nodes,
    serving_node_s / run.interval_s AS serving_nodes,
    starting_node_s / run.interval_s AS starting_nodes,
    draining_node_s / run.interval_s AS draining_nodes,
    training_node_s / run.interval_s AS training_nodes,
    restoring_node_s / run.interval_s AS restoring_nodes,
    idle_node_s / run.interval_s AS idle_nodes
FROM plan_interval
JOIN run USING (run_id)
ORDER BY plan_interval.run_id, interval_start;

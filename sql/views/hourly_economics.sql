-- Nodes, cost, revenue and shortfall per local clock hour. Mean nodes are over the part of the hour that the plan covers.
CREATE OR REPLACE VIEW hourly_economics AS
SELECT
    run_id,
    hour_start,
    sum(serving_node_s + starting_node_s + draining_node_s)::BIGINT / (count(*) * any_value(run.interval_s)) AS mean_nodes,
    max(inference_nodes) AS peak_nodes,
    sum(serving_node_s + starting_node_s + draining_node_s)::BIGINT / 3600 AS node_hours,
    sum(training_node_s + restoring_node_s)::BIGINT / 3600 AS training_node_hours,
    sum(requests)::BIGINT AS requests,
    sum(input_tokens)::BIGINT AS input_tokens,
    sum(cached_input_tokens)::BIGINT AS cached_input_tokens,
    sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd_micros)::BIGINT / 1e6 AS cost_usd,
    sum(revenue_usd_micros)::BIGINT / 1e6 AS revenue_usd,
    sum(expected_revenue_usd_micros)::BIGINT / 1e6 AS expected_revenue_usd,
    sum(least(
        CASE WHEN input_tokens > 0
            THEN (2 * revenue_usd_micros::HUGEINT * (input_tokens - steady_shortfall_input_tokens - start_up_shortfall_input_tokens) + input_tokens)
                // (2 * input_tokens)
            ELSE revenue_usd_micros
        END,
        CASE WHEN output_tokens > 0
            THEN (2 * revenue_usd_micros::HUGEINT * (output_tokens - steady_shortfall_output_tokens - start_up_shortfall_output_tokens) + output_tokens)
                // (2 * output_tokens)
            ELSE revenue_usd_micros
        END
    ))::BIGINT / 1e6 AS revenue_served_usd,
    sum(fleet_cost_usd_micros)::BIGINT / 1e6 AS fleet_cost_usd,
    sum(
        steady_shortfall_input_tokens + steady_shortfall_output_tokens
        + start_up_shortfall_input_tokens + start_up_shortfall_output_tokens
    )::BIGINT AS shortfall_tokens
FROM plan_interval
JOIN demand_interval USING (run_id, interval_start)
JOIN ledger_interval USING (run_id, interval_start)
JOIN run USING (run_id)
GROUP BY run_id, hour_start
ORDER BY run_id, hour_start;

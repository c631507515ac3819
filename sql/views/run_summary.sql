-- One row per run: nodes, cost, revenue, margin, training and shortfall over the whole plan. Served revenue: of each interval, the
-- smaller of the shares of input and of output tokens that are within the capacity.
CREATE OR REPLACE VIEW run_summary AS
WITH total AS (
    SELECT
        run_id,
        count(*) AS intervals,
        max(inference_nodes) AS peak_nodes,
        sum(serving_node_s + starting_node_s + draining_node_s)::BIGINT AS inference_node_s,
        sum(training_node_s)::BIGINT AS training_node_s,
        sum(restoring_node_s)::BIGINT AS restoring_node_s,
        sum(idle_node_s)::BIGINT AS idle_node_s,
        sum(requests)::BIGINT AS requests,
        sum(input_tokens)::BIGINT AS input_tokens,
        sum(cached_input_tokens)::BIGINT AS cached_input_tokens,
        sum(output_tokens)::BIGINT AS output_tokens,
        sum(cost_usd_micros)::BIGINT AS cost_usd_micros,
        sum(training_cost_usd_micros)::BIGINT AS training_cost_usd_micros,
        sum(idle_cost_usd_micros)::BIGINT AS idle_cost_usd_micros,
        sum(fleet_cost_usd_micros)::BIGINT AS fleet_cost_usd_micros,
        sum(training_charge_usd_micros)::BIGINT AS training_charge_usd_micros,
        sum(revenue_usd_micros)::BIGINT AS revenue_usd_micros,
        sum(expected_revenue_usd_micros)::BIGINT AS expected_revenue_usd_micros,
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
        ))::BIGINT AS revenue_served_usd_micros,
        sum(least(
            CASE WHEN input_tokens > 0
                THEN (2 * expected_revenue_usd_micros::HUGEINT * (input_tokens - steady_shortfall_input_tokens - start_up_shortfall_input_tokens) + input_tokens)
                    // (2 * input_tokens)
                ELSE expected_revenue_usd_micros
            END,
            CASE WHEN output_tokens > 0
                THEN (2 * expected_revenue_usd_micros::HUGEINT * (output_tokens - steady_shortfall_output_tokens - start_up_shortfall_output_tokens) + output_tokens)
                    // (2 * output_tokens)
                ELSE expected_revenue_usd_micros
            END
        ))::BIGINT AS expected_revenue_served_usd_micros,
        sum(steady_shortfall_input_tokens + steady_shortfall_output_tokens)::BIGINT AS steady_shortfall_tokens,
        sum(start_up_shortfall_input_tokens + start_up_shortfall_output_tokens)::BIGINT AS start_up_shortfall_tokens
    FROM plan_interval
    JOIN demand_interval USING (run_id, interval_start)
    JOIN ledger_interval USING (run_id, interval_start)
    GROUP BY run_id
)

SELECT
    run.run_id,
    run.created_at,
    run.kind,
    run.scenario,
    run.trace,
    run.policy,
    run.demand_source,
    run.interval_s,
    intervals,
    peak_nodes,
    inference_node_s / (intervals * run.interval_s) AS mean_nodes,
    inference_node_s / 3600 AS node_hours,
    (training_node_s + restoring_node_s) / 3600 AS training_node_hours,
    training_node_s / 3600 AS useful_training_node_hours,
    idle_node_s / 3600 AS idle_node_hours,
    requests,
    input_tokens,
    cached_input_tokens,
    output_tokens,
    CASE WHEN input_tokens > 0 THEN cached_input_tokens / input_tokens END AS cache_hit_ratio,
    cost_usd_micros / 1e6 AS cost_usd,
    revenue_usd_micros / 1e6 AS revenue_usd,
    expected_revenue_usd_micros / 1e6 AS expected_revenue_usd,
    CASE WHEN cost_usd_micros > 0 THEN (revenue_usd_micros - cost_usd_micros) / cost_usd_micros END AS margin_ratio,
    revenue_served_usd_micros / 1e6 AS revenue_served_usd,
    expected_revenue_served_usd_micros / 1e6 AS expected_revenue_served_usd,
    CASE WHEN cost_usd_micros > 0
        THEN (revenue_served_usd_micros - cost_usd_micros) / cost_usd_micros
    END AS margin_served_ratio,
    fleet_cost_usd_micros / 1e6 AS fleet_cost_usd,
    training_cost_usd_micros / 1e6 AS training_cost_usd,
    idle_cost_usd_micros / 1e6 AS idle_cost_usd,
    training_charge_usd_micros / 1e6 AS training_charge_usd,
    steady_shortfall_tokens,
    start_up_shortfall_tokens,
    steady_shortfall_tokens + start_up_shortfall_tokens AS shortfall_tokens,
    CASE WHEN input_tokens + output_tokens > 0
        THEN (steady_shortfall_tokens + start_up_shortfall_tokens) / (input_tokens + output_tokens)
        ELSE 0
    END AS shortfall_ratio,
    run.result_digest,
    run.planner_version
FROM total
JOIN run USING (run_id)
ORDER BY run.run_id;

-- Every past day of a nightly job: planned, needed in hindsight, actual load, forecast error, and what that cost.
CREATE OR REPLACE VIEW plan_vs_actual AS
SELECT
    job,
    day,
    run_id,
    planned_node_s / 3600 AS planned_node_hours,
    needed_node_s / 3600 AS needed_node_hours,
    planned_peak_nodes,
    needed_peak_nodes,
    requests,
    input_tokens,
    output_tokens,
    forecast_input_tokens,
    forecast_output_tokens,
    CASE WHEN input_tokens > 0 THEN input_error_tokens / input_tokens END AS input_wape,
    CASE WHEN output_tokens > 0 THEN output_error_tokens / output_tokens END AS output_wape,
    CASE WHEN input_tokens > 0 THEN (forecast_input_tokens - input_tokens) / input_tokens END AS input_bias,
    CASE WHEN output_tokens > 0 THEN (forecast_output_tokens - output_tokens) / output_tokens END AS output_bias,
    intervals_within_quantile / intervals AS within_quantile,
    shortfall_tokens,
    needed_shortfall_tokens,
    CASE WHEN input_tokens + output_tokens > 0
        THEN shortfall_tokens / (input_tokens + output_tokens)
        ELSE 0
    END AS shortfall_ratio,
    excess_cost_usd_micros / 1e6 AS excess_cost_usd,
    shortfall_revenue_usd_micros / 1e6 AS shortfall_revenue_usd,
    (excess_cost_usd_micros + shortfall_revenue_usd_micros) / 1e6 AS error_cost_usd,
    band_missed,
    drift
FROM plan_actual
ORDER BY job, day;

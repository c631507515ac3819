-- Quantiles of the figures of a sweep's sampled cases, for each policy; the mean of slo_met is the share of cases.
-- @public
-- @param sweep_id  the sweep
WITH outcome AS (
    SELECT
        policy,
        cost_usd_micros / 1e6 AS cost_usd,
        peak_nodes::DOUBLE AS peak_nodes,
        inference_node_s / plan_s AS mean_nodes,
        training_node_s / 3600 AS training_node_hours,
        useful_training_node_s / 3600 AS useful_training_node_hours,
        revenue_usd_micros / 1e6 AS revenue_usd,
        CASE WHEN cost_usd_micros > 0 THEN (revenue_usd_micros - cost_usd_micros) / cost_usd_micros END AS margin_ratio,
        shortfall_tokens::DOUBLE AS shortfall_tokens,
        CASE WHEN demanded_tokens > 0 THEN shortfall_tokens / demanded_tokens ELSE 0 END AS shortfall_ratio,
        CASE WHEN requests > 0 THEN latency_met_requests / requests END AS latency_met_ratio,
        slo_met::INTEGER::DOUBLE AS slo_met
    FROM sweep_case
    WHERE sweep_id = $sweep_id AND role = 'sample'
)

SELECT
    policy,
    metric,
    count(*) AS cases,
    quantile_cont(value, 0.05) AS p5,
    quantile_cont(value, 0.25) AS p25,
    quantile_cont(value, 0.5) AS p50,
    quantile_cont(value, 0.75) AS p75,
    quantile_cont(value, 0.95) AS p95,
    avg(value) AS mean
FROM (UNPIVOT outcome ON COLUMNS(* EXCLUDE policy) INTO NAME metric VALUE value)
GROUP BY policy, metric
ORDER BY policy, metric;

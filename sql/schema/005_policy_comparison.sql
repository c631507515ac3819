-- Policies side by side: one row per policy of a comparison, each with its stored run.

CREATE SEQUENCE comparison_sequence;

CREATE TABLE policy_comparison (
    comparison_id VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    policy VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    node_hours DOUBLE NOT NULL,
    cost_usd DOUBLE NOT NULL,
    shortfall_ratio DOUBLE NOT NULL,
    scale_actions BIGINT NOT NULL,
    wasted_node_hours DOUBLE NOT NULL,
    gap_to_bound DOUBLE,
    level_utilisation DOUBLE,
    level_node_hours DOUBLE,
    level_gap_to_bound DOUBLE,
    ttft_attainment DOUBLE,
    tpot_attainment DOUBLE,
    bound_node_hours DOUBLE,
    bound_status VARCHAR NOT NULL,
    PRIMARY KEY (comparison_id, policy)
);

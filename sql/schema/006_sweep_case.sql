-- Sweeps: one row per case, with the values of the uncertain parameters and what came of the plan.

CREATE SEQUENCE sweep_sequence;

CREATE TABLE sweep_case (
    sweep_id VARCHAR NOT NULL,
    policy VARCHAR NOT NULL,
    case_index INTEGER NOT NULL,
    role VARCHAR NOT NULL,
    varied VARCHAR,
    parameters JSON NOT NULL,
    noise_seed BIGINT NOT NULL,
    plan_s BIGINT NOT NULL,
    peak_nodes INTEGER NOT NULL,
    inference_node_s BIGINT NOT NULL,
    training_node_s BIGINT NOT NULL,
    useful_training_node_s BIGINT NOT NULL,
    cost_usd_micros BIGINT NOT NULL,
    revenue_usd_micros BIGINT NOT NULL,
    demanded_tokens BIGINT NOT NULL,
    shortfall_tokens BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    latency_met_requests BIGINT,
    slo_met BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    scenario VARCHAR NOT NULL,
    trace VARCHAR NOT NULL,
    settings JSON,
    planner_version VARCHAR NOT NULL,
    PRIMARY KEY (sweep_id, policy, case_index)
);

-- Traces, their requests, and the runs that plan for them.

CREATE SCHEMA trace_data;
CREATE SEQUENCE trace_sequence;
CREATE SEQUENCE run_sequence;

CREATE TABLE trace (
    trace_id INTEGER PRIMARY KEY,
    name VARCHAR NOT NULL UNIQUE,
    origin VARCHAR NOT NULL,
    format VARCHAR,
    profile VARCHAR,
    settings JSON NOT NULL,
    settings_digest VARCHAR NOT NULL,
    timezone VARCHAR NOT NULL,
    sample_weight BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    first_arrival_us BIGINT NOT NULL,
    last_arrival_us BIGINT NOT NULL,
    window_start_us BIGINT NOT NULL,
    window_end_us BIGINT NOT NULL,
    block_tokens INTEGER,
    rows_read BIGINT NOT NULL,
    rows_rejected BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    planner_version VARCHAR NOT NULL
);

CREATE TABLE request_class (
    trace_id INTEGER NOT NULL,
    class_id SMALLINT NOT NULL,
    class VARCHAR NOT NULL,
    PRIMARY KEY (trace_id, class_id)
);

CREATE TABLE import_reject (
    trace_id INTEGER NOT NULL,
    file VARCHAR NOT NULL,
    line BIGINT NOT NULL,
    reason VARCHAR NOT NULL
);

CREATE TABLE run (
    run_id VARCHAR PRIMARY KEY,
    created_at TIMESTAMPTZ NOT NULL,
    kind VARCHAR NOT NULL,
    scenario VARCHAR NOT NULL,
    settings JSON NOT NULL,
    trace_id INTEGER NOT NULL,
    trace VARCHAR NOT NULL,
    profile VARCHAR,
    policy VARCHAR NOT NULL,
    demand_source VARCHAR NOT NULL,
    interval_s INTEGER NOT NULL,
    timezone VARCHAR NOT NULL,
    seed BIGINT,
    notes VARCHAR[] NOT NULL,
    inputs JSON NOT NULL,
    result_digest VARCHAR NOT NULL,
    planner_version VARCHAR NOT NULL
);

CREATE TABLE demand_interval (
    run_id VARCHAR NOT NULL,
    interval_start TIMESTAMPTZ NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    PRIMARY KEY (run_id, interval_start)
);

CREATE TABLE plan_interval (
    run_id VARCHAR NOT NULL,
    interval_start TIMESTAMPTZ NOT NULL,
    hour_start TIMESTAMPTZ NOT NULL,
    prefill_units INTEGER NOT NULL,
    decode_units INTEGER NOT NULL,
    inference_nodes INTEGER NOT NULL,
    training_nodes INTEGER NOT NULL,
    serving_node_s BIGINT NOT NULL,
    starting_node_s BIGINT NOT NULL,
    draining_node_s BIGINT NOT NULL,
    training_node_s BIGINT NOT NULL,
    restoring_node_s BIGINT NOT NULL,
    idle_node_s BIGINT NOT NULL,
    prefill_capacity_tokens BIGINT NOT NULL,
    decode_capacity_tokens BIGINT NOT NULL,
    prefill_serving_tokens BIGINT NOT NULL,
    decode_serving_tokens BIGINT NOT NULL,
    steady_shortfall_input_tokens BIGINT NOT NULL,
    steady_shortfall_output_tokens BIGINT NOT NULL,
    start_up_shortfall_input_tokens BIGINT NOT NULL,
    start_up_shortfall_output_tokens BIGINT NOT NULL,
    PRIMARY KEY (run_id, interval_start)
);

CREATE TABLE ledger_interval (
    run_id VARCHAR NOT NULL,
    interval_start TIMESTAMPTZ NOT NULL,
    cost_usd_micros BIGINT NOT NULL,
    training_cost_usd_micros BIGINT NOT NULL,
    idle_cost_usd_micros BIGINT NOT NULL,
    fleet_cost_usd_micros BIGINT NOT NULL,
    training_charge_usd_micros BIGINT NOT NULL,
    revenue_usd_micros BIGINT NOT NULL,
    expected_revenue_usd_micros BIGINT NOT NULL,
    PRIMARY KEY (run_id, interval_start)
);

CREATE TABLE revenue_step (
    run_id VARCHAR NOT NULL,
    step_index INTEGER NOT NULL,
    step VARCHAR NOT NULL,
    amount_usd_micros BIGINT NOT NULL,
    PRIMARY KEY (run_id, step_index)
);

CREATE TABLE training_window (
    run_id VARCHAR NOT NULL,
    window_start TIMESTAMPTZ NOT NULL,
    window_end TIMESTAMPTZ NOT NULL,
    nodes INTEGER NOT NULL,
    restoring_node_s BIGINT NOT NULL,
    training_node_s BIGINT NOT NULL
);

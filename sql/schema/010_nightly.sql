-- The nightly service: the ledger of nights, forecasts behind plans, and plans held against what came.

ALTER TABLE run ADD COLUMN logical_date DATE;

CREATE TABLE job_run (
    job VARCHAR NOT NULL,
    logical_date DATE NOT NULL,
    status VARCHAR NOT NULL,
    attempts INTEGER NOT NULL,
    owner VARCHAR NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ,
    step VARCHAR NOT NULL,
    run_id VARCHAR,
    exit_code INTEGER,
    message VARCHAR NOT NULL,
    announced_at TIMESTAMPTZ,
    PRIMARY KEY (job, logical_date)
);

CREATE TABLE forecast_interval (
    run_id VARCHAR NOT NULL,
    interval_start TIMESTAMPTZ NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    PRIMARY KEY (run_id, interval_start)
);

CREATE TABLE plan_actual (
    job VARCHAR NOT NULL,
    day DATE NOT NULL,
    run_id VARCHAR NOT NULL,
    intervals INTEGER NOT NULL,
    planned_node_s BIGINT NOT NULL,
    needed_node_s BIGINT NOT NULL,
    planned_peak_nodes INTEGER NOT NULL,
    needed_peak_nodes INTEGER NOT NULL,
    requests BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    forecast_input_tokens BIGINT NOT NULL,
    forecast_output_tokens BIGINT NOT NULL,
    input_error_tokens BIGINT NOT NULL,
    output_error_tokens BIGINT NOT NULL,
    intervals_within_quantile INTEGER NOT NULL,
    shortfall_tokens BIGINT NOT NULL,
    needed_shortfall_tokens BIGINT NOT NULL,
    excess_cost_usd_micros BIGINT NOT NULL,
    shortfall_revenue_usd_micros BIGINT NOT NULL,
    band_missed BOOLEAN NOT NULL,
    drift BOOLEAN NOT NULL,
    PRIMARY KEY (job, day)
);

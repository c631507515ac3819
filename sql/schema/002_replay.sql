-- What replays measured: one row per replay, per hour and class, per minute, and histograms of latency.

CREATE TABLE replay_run (
    run_id VARCHAR PRIMARY KEY,
    window_start TIMESTAMPTZ NOT NULL,
    window_end TIMESTAMPTZ NOT NULL,
    simulated_from TIMESTAMPTZ NOT NULL,
    simulated_to TIMESTAMPTZ NOT NULL,
    ranks VARCHAR NOT NULL,
    prefill_balancer VARCHAR NOT NULL,
    decode_balancer VARCHAR NOT NULL,
    arrived BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    in_flight BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    moved BIGINT NOT NULL,
    simulated_requests BIGINT NOT NULL,
    wall_s DOUBLE NOT NULL,
    kv_peak_ratio DOUBLE NOT NULL,
    kv_imbalance_mean DOUBLE,
    kv_imbalance_p99 DOUBLE,
    stream_imbalance_mean DOUBLE,
    stream_imbalance_p99 DOUBLE,
    rank_kv_imbalance_mean DOUBLE,
    rank_stream_imbalance_mean DOUBLE
);

CREATE TABLE replay_interval (
    run_id VARCHAR NOT NULL,
    interval_start TIMESTAMPTZ NOT NULL,
    class_id SMALLINT NOT NULL,
    arrived BIGINT NOT NULL,
    completed BIGINT NOT NULL,
    rejected_queue BIGINT NOT NULL,
    rejected_timeout BIGINT NOT NULL,
    ttft_mean_ms DOUBLE,
    tpot_mean_ms DOUBLE,
    e2e_mean_ms DOUBLE,
    ttft_counted BIGINT NOT NULL,
    ttft_met BIGINT NOT NULL,
    tpot_counted BIGINT NOT NULL,
    tpot_met BIGINT NOT NULL,
    both_met BIGINT NOT NULL,
    PRIMARY KEY (run_id, interval_start, class_id)
);

CREATE TABLE latency_histogram (
    run_id VARCHAR NOT NULL,
    interval_start TIMESTAMPTZ NOT NULL,
    class_id SMALLINT NOT NULL,
    metric VARCHAR NOT NULL,
    from_us DOUBLE NOT NULL,
    to_us DOUBLE NOT NULL,
    request_count BIGINT NOT NULL
);

CREATE TABLE replay_minute (
    run_id VARCHAR NOT NULL,
    minute_start TIMESTAMPTZ NOT NULL,
    prefill_unit_us DOUBLE NOT NULL,
    prefill_busy_us DOUBLE NOT NULL,
    prefill_wait_us DOUBLE NOT NULL,
    decode_unit_us DOUBLE NOT NULL,
    decode_busy_us DOUBLE NOT NULL,
    decode_wait_us DOUBLE NOT NULL,
    stream_us DOUBLE NOT NULL,
    kv_token_us DOUBLE NOT NULL,
    kv_tokens_most DOUBLE NOT NULL,
    output_tokens BIGINT NOT NULL,
    PRIMARY KEY (run_id, minute_start)
);

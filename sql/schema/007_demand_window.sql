-- Traces that are known by window only: what a log tells where it does not tell requests.

CREATE TABLE demand_window (
    trace_id INTEGER NOT NULL,
    window_start_us BIGINT NOT NULL,
    window_end_us BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    requests_with_lengths BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    PRIMARY KEY (trace_id, window_start_us)
);

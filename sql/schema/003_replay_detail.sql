-- What a replay did again or found by routing, and, where asked for, every request.

ALTER TABLE replay_run ADD COLUMN retried BIGINT DEFAULT 0;
ALTER TABLE replay_run ADD COLUMN rank_kv_imbalance_table DOUBLE;
ALTER TABLE replay_interval ADD COLUMN retried BIGINT DEFAULT 0;
ALTER TABLE replay_interval ADD COLUMN input_tokens BIGINT;
ALTER TABLE replay_interval ADD COLUMN hit_tokens BIGINT;

CREATE TABLE replay_request (
    run_id VARCHAR NOT NULL,
    request_index BIGINT NOT NULL,
    arrival_us BIGINT NOT NULL,
    class_id SMALLINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    prefill_unit INTEGER,
    decode_unit INTEGER,
    ttft_us DOUBLE,
    e2e_us DOUBLE,
    moved BIGINT NOT NULL
);

-- When units of a replay came and went, and how long they took to empty; requests that count for both targets.

ALTER TABLE replay_interval ADD COLUMN both_counted BIGINT;

CREATE TABLE replay_unit (
    run_id VARCHAR NOT NULL,
    role VARCHAR NOT NULL,
    unit INTEGER NOT NULL,
    serves_from TIMESTAMPTZ NOT NULL,
    drains_from TIMESTAMPTZ,
    drain_s DOUBLE,
    moved BIGINT NOT NULL,
    PRIMARY KEY (run_id, role, unit)
);

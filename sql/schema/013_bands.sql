-- 90 % bands of a run's figures where its capacities were modelled. Runs of observed capacity, and those stored before,
-- have none.

CREATE TABLE run_band (
    run_id VARCHAR NOT NULL,
    figure VARCHAR NOT NULL,
    value DOUBLE NOT NULL,
    low DOUBLE NOT NULL,
    high DOUBLE,
    measured BOOLEAN NOT NULL
);

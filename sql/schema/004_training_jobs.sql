-- Training jobs on the lent nodes: one row per job, and one per node that a job held without a break.

CREATE TABLE training_job (
    run_id VARCHAR NOT NULL,
    job_index INTEGER NOT NULL,
    job VARCHAR NOT NULL,
    gpus INTEGER NOT NULL,
    preemptible BOOLEAN NOT NULL,
    release_at TIMESTAMPTZ NOT NULL,
    deadline_at TIMESTAMPTZ,
    first_start_at TIMESTAMPTZ,
    finished_at TIMESTAMPTZ,
    status VARCHAR NOT NULL,
    deadline_met BOOLEAN,
    call_backs INTEGER NOT NULL,
    work_gpu_s BIGINT NOT NULL,
    useful_gpu_s BIGINT NOT NULL,
    lost_gpu_s BIGINT NOT NULL,
    restarting_gpu_s BIGINT NOT NULL,
    value_usd_micros BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    PRIMARY KEY (run_id, job_index)
);

CREATE TABLE training_job_run (
    run_id VARCHAR NOT NULL,
    job_index INTEGER NOT NULL,
    segment_index INTEGER NOT NULL,
    node_slot INTEGER NOT NULL,
    gpus INTEGER NOT NULL,
    start_at TIMESTAMPTZ NOT NULL,
    end_at TIMESTAMPTZ NOT NULL,
    restarting_gpu_s BIGINT NOT NULL,
    useful_gpu_s BIGINT NOT NULL,
    lost_gpu_s BIGINT NOT NULL,
    ending VARCHAR NOT NULL,
    PRIMARY KEY (run_id, job_index, segment_index, node_slot)
);

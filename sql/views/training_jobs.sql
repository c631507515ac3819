-- Training jobs in GPU-hours, in the order in which they may start.
CREATE OR REPLACE VIEW training_jobs AS
SELECT
    run_id,
    job_index,
    job,
    gpus,
    preemptible,
    release_at,
    deadline_at,
    first_start_at,
    finished_at,
    status,
    deadline_met,
    call_backs,
    work_gpu_s / 3600 AS work_gpu_hours,
    useful_gpu_s / 3600 AS useful_gpu_hours,
    lost_gpu_s / 3600 AS lost_gpu_hours,
    restarting_gpu_s / 3600 AS restarting_gpu_hours,
    value_usd_micros / 1e6 AS value_usd,
    reason
FROM training_job
ORDER BY run_id, job_index;

-- Where the lent node-hours of a run with training jobs went: lent = useful + lost + restarting + unused.
CREATE OR REPLACE VIEW training_account AS
WITH planned AS (
    SELECT
        run_id,
        run.settings ->> '$.training.jobs' AS job_list,
        run.settings ->> '$.training.placement' AS placement,
        (run.settings ->> '$.fleet.gpus_per_node')::BIGINT AS gpus_per_node
    FROM run
    WHERE (run.settings ->> '$.training.jobs') IS NOT NULL
),

lent AS (
    SELECT run_id, sum(restoring_node_s + training_node_s)::BIGINT AS node_s FROM training_window GROUP BY run_id
),

held AS (
    SELECT
        run_id,
        count(*) AS jobs,
        count(*) FILTER (status = 'finished') AS finished,
        count(*) FILTER (status = 'unfinished') AS unfinished,
        count(*) FILTER (status = 'not started') AS not_started,
        count(*) FILTER (deadline_met) AS deadlines_met,
        count(*) FILTER (NOT deadline_met) AS deadlines_missed,
        sum(call_backs)::BIGINT AS call_backs,
        sum(useful_gpu_s)::BIGINT AS useful_gpu_s,
        sum(lost_gpu_s)::BIGINT AS lost_gpu_s,
        sum(restarting_gpu_s)::BIGINT AS restarting_gpu_s,
        sum(value_usd_micros)::BIGINT AS value_usd_micros
    FROM training_job
    GROUP BY run_id
)

SELECT
    run_id,
    job_list,
    placement,
    coalesce(jobs, 0) AS jobs,
    coalesce(finished, 0) AS finished,
    coalesce(unfinished, 0) AS unfinished,
    coalesce(not_started, 0) AS not_started,
    coalesce(deadlines_met, 0) AS deadlines_met,
    coalesce(deadlines_missed, 0) AS deadlines_missed,
    coalesce(call_backs, 0) AS call_backs,
    coalesce(node_s, 0) / 3600 AS lent_node_hours,
    coalesce(useful_gpu_s, 0) / (3600 * gpus_per_node) AS useful_node_hours,
    coalesce(lost_gpu_s, 0) / (3600 * gpus_per_node) AS lost_node_hours,
    coalesce(restarting_gpu_s, 0) / (3600 * gpus_per_node) AS restarting_node_hours,
    (coalesce(node_s, 0) * gpus_per_node - coalesce(useful_gpu_s + lost_gpu_s + restarting_gpu_s, 0))
    / (3600 * gpus_per_node) AS unused_node_hours,
    coalesce(value_usd_micros, 0) / 1e6 AS value_usd
FROM planned
LEFT JOIN lent USING (run_id)
LEFT JOIN held USING (run_id)
ORDER BY run_id;

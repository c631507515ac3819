"""The register of stored tables: every column with its type, unit and meaning.

The migrations in `sql/schema` create the tables; a test keeps both in step, and `planner sql --tables` prints this.
Times are TIMESTAMPTZ, or microseconds since the UTC epoch (`_us`). Tokens and money are integers.
"""

from planner.store.register import table

TABLES = (
    table(
        "trace",
        "one stored trace",
        """
        trace_id | INTEGER | - | number of the trace
        name | VARCHAR | - | unique name
        origin | VARCHAR | - | synthetic, import, windows (no requests) or expanded (requests drawn)
        format | VARCHAR | - | format reader that imported it
        profile | VARCHAR | - | load profile it was drawn from: a built-in name or a path
        settings | JSON | - | arguments that made it
        settings_digest | VARCHAR | - | sha256 of origin, profile content and settings
        timezone | VARCHAR | - | IANA zone of its local times
        sample_weight | BIGINT | requests/row | real requests that one stored row stands for
        row_count | BIGINT | rows | stored rows; of windows, the requests that they count
        input_tokens | BIGINT | tokens | sum over stored rows, cache hits included
        cached_input_tokens | BIGINT | tokens | sum over stored rows, as far as known
        output_tokens | BIGINT | tokens | sum over stored rows
        first_arrival_us | BIGINT | us | first arrival
        last_arrival_us | BIGINT | us | last arrival
        window_start_us | BIGINT | us | start of the time that the trace covers
        window_end_us | BIGINT | us | end of the time that the trace covers
        block_tokens | INTEGER | tokens | size of a prefix block, where the trace has blocks
        rows_read | BIGINT | rows | rows read on import
        rows_rejected | BIGINT | rows | rows refused on import
        created_at | TIMESTAMPTZ | - | when it was stored
        planner_version | VARCHAR | - | version that stored it
        cached_unknown | BIGINT | rows | stored rows whose cached tokens are not known; of windows, requests
        """,
    ),
    table(
        "request",
        "one stored request; a view over one physical table per trace",
        """
        trace_id | INTEGER | - | the trace
        request_seq | BIGINT | - | number in arrival order, from 0
        arrival_us | BIGINT | us | arrival
        input_tokens | INTEGER | tokens | prompt tokens, cache hits included
        cached_input_tokens | INTEGER | tokens | prompt tokens whose KV was cached; NULL where that is not known
        output_tokens | INTEGER | tokens | generated tokens
        class_id | SMALLINT | - | class, see request_class
        session_id | BIGINT | - | conversation, where known
        """,
    ),
    table(
        "request_block",
        "one prefix block of one request; a view over one physical table per trace",
        """
        trace_id | INTEGER | - | the trace
        request_seq | BIGINT | - | the request
        block_index | INTEGER | - | position in the prompt, from 0
        block_id | BIGINT | - | identity of the block with all before it
        """,
    ),
    table(
        "request_class",
        "one class of requests",
        """
        trace_id | INTEGER | - | the trace
        class_id | SMALLINT | - | number of the class
        class | VARCHAR | - | model, tier or tenant
        """,
    ),
    table(
        "demand_window",
        "one window of a trace that is known by window only",
        """
        trace_id | INTEGER | - | the trace
        window_start_us | BIGINT | us | start
        window_end_us | BIGINT | us | end
        requests | BIGINT | requests | requests, of unknown lengths too
        requests_with_lengths | BIGINT | requests | requests whose tokens are counted here
        input_tokens | BIGINT | tokens | cache hits included; rounded, where they are expected values
        cached_input_tokens | BIGINT | tokens | part of input_tokens, as far as it is known; NULL where none of it is
        output_tokens | BIGINT | tokens | generated
        cached_unknown | BIGINT | requests | requests whose cached tokens are not known
        """,
    ),
    table(
        "import_reject",
        "one row that an import refused",
        """
        trace_id | INTEGER | - | the trace
        file | VARCHAR | - | file name
        line | BIGINT | - | line in the file from 1, or row of a Parquet file
        reason | VARCHAR | - | why
        """,
    ),
    table(
        "run",
        "one stored execution",
        """
        run_id | VARCHAR | - | name of the run
        created_at | TIMESTAMPTZ | - | when it was stored
        kind | VARCHAR | - | plan, replay or nightly
        scenario | VARCHAR | - | name of the scenario
        settings | JSON | - | the whole scenario, with provenance
        trace_id | INTEGER | - | the trace
        trace | VARCHAR | - | name of the trace
        profile | VARCHAR | - | load profile it was drawn from: a built-in name or a path
        policy | VARCHAR | - | name of the policy
        demand_source | VARCHAR | - | what the policy was allowed to see
        interval_s | INTEGER | s | length of an interval
        timezone | VARCHAR | - | IANA zone of local times
        seed | BIGINT | - | seed of a drawn trace
        notes | VARCHAR[] | - | remarks on the run, a line each
        inputs | JSON | - | rates, prices and profile figures with their sources, as of the run
        result_digest | VARCHAR | - | sha256 of the plan and ledger rows
        planner_version | VARCHAR | - | version that made it
        logical_date | DATE | - | day that a nightly run plans
        """,
    ),
    table(
        "demand_interval",
        "what one interval's requests ask for, sample weight applied",
        """
        run_id | VARCHAR | - | the run
        interval_start | TIMESTAMPTZ | - | start of the interval
        requests | BIGINT | requests | arrivals
        input_tokens | BIGINT | tokens | prompt tokens, cache hits included
        cached_input_tokens | BIGINT | tokens | prompt tokens whose KV was cached
        output_tokens | BIGINT | tokens | tokens to generate
        """,
    ),
    table(
        "plan_interval",
        "the planned fleet in one interval; node-seconds of the six states sum to the fleet",
        """
        run_id | VARCHAR | - | the run
        interval_start | TIMESTAMPTZ | - | start of the interval
        hour_start | TIMESTAMPTZ | - | start of the local clock hour it falls in
        prefill_units | INTEGER | units | target: prefill units that inference holds
        decode_units | INTEGER | units | target: decode units that inference holds
        inference_nodes | INTEGER | nodes | most nodes that inference holds at any moment of it
        training_nodes | INTEGER | nodes | nodes lent to training throughout it
        serving_node_s | BIGINT | node-s | serving
        starting_node_s | BIGINT | node-s | starting up before they serve
        draining_node_s | BIGINT | node-s | finishing their streams before they leave
        training_node_s | BIGINT | node-s | training
        restoring_node_s | BIGINT | node-s | loading a training job
        idle_node_s | BIGINT | node-s | none of these
        prefill_capacity_tokens | BIGINT | tokens | input capacity of all units of the target, at the mix demanded
        decode_capacity_tokens | BIGINT | tokens | output capacity of all units of the target, at that mix
        prefill_serving_tokens | BIGINT | tokens | input capacity of the units while they serve
        decode_serving_tokens | BIGINT | tokens | output capacity of the units while they serve
        steady_shortfall_input_tokens | BIGINT | tokens | input demand beyond prefill_capacity_tokens
        steady_shortfall_output_tokens | BIGINT | tokens | output demand beyond decode_capacity_tokens
        start_up_shortfall_input_tokens | BIGINT | tokens | further input demand beyond prefill_serving_tokens
        start_up_shortfall_output_tokens | BIGINT | tokens | further output demand beyond decode_serving_tokens
        aggregated_units | INTEGER | units | target: units that inference holds that do both; 0 where none does
        sleep_state | VARCHAR | - | asleep, woken, kept awake or awake; NULL where the service never sleeps
        warm_started_units | INTEGER | units | that begin to start up to weights they had kept; NULL in older runs
        cold_started_units | INTEGER | units | that begin to start up from cold; NULL in older runs
        """,
    ),
    table(
        "run_band",
        "the 90 % band of a figure of one run: of a plan on modelled capacities, or of a replay of both ends",
        """
        run_id | VARCHAR | - | the run
        figure | VARCHAR | - | the figure, by its key in the document of a plan or its path in that of a replay
        value | DOUBLE | - | the figure, in its unit
        low | DOUBLE | - | lower end of the band
        high | DOUBLE | - | upper end; NULL where there is none, as units so slow do not keep up
        measured | BOOLEAN | - | whether the model was calibrated by own measurements
        """,
    ),
    table(
        "ledger_interval",
        "cost and revenue of one interval",
        """
        run_id | VARCHAR | - | the run
        interval_start | TIMESTAMPTZ | - | start of the interval
        cost_usd_micros | BIGINT | 1e-6 USD | nodes that inference holds
        training_cost_usd_micros | BIGINT | 1e-6 USD | nodes lent to training
        idle_cost_usd_micros | BIGINT | 1e-6 USD | nodes that do neither
        fleet_cost_usd_micros | BIGINT | 1e-6 USD | all owned nodes: the sum of the three
        training_charge_usd_micros | BIGINT | 1e-6 USD | charged to training for its nodes
        revenue_usd_micros | BIGINT | 1e-6 USD | theoretical: all tokens at list price
        expected_revenue_usd_micros | BIGINT | 1e-6 USD | after other prices, discounts and unpaid use
        """,
    ),
    table(
        "revenue_step",
        "one step of the waterfall from theoretical to expected revenue",
        """
        run_id | VARCHAR | - | the run
        step_index | INTEGER | - | order
        step | VARCHAR | - | theoretical, a deduction, or expected
        amount_usd_micros | BIGINT | 1e-6 USD | level (first and last) or change
        """,
    ),
    table(
        "training_window",
        "nodes lent to training together",
        """
        run_id | VARCHAR | - | the run
        window_start | TIMESTAMPTZ | - | from
        window_end | TIMESTAMPTZ | - | to
        nodes | INTEGER | nodes | nodes lent
        restoring_node_s | BIGINT | node-s | of that, loading the job
        training_node_s | BIGINT | node-s | of that, useful
        """,
    ),
    table(
        "training_job",
        "one training job that may start within the plan; a daily one is a job per day",
        """
        run_id | VARCHAR | - | the run
        job_index | INTEGER | - | number of the job, from 0, by earliest start
        job | VARCHAR | - | its name in the job list
        gpus | INTEGER | GPUs | held while it runs
        preemptible | BOOLEAN | - | whether inference may call its nodes back
        release_at | TIMESTAMPTZ | - | earliest start
        deadline_at | TIMESTAMPTZ | - | when it should be done
        first_start_at | TIMESTAMPTZ | - | when it first got nodes
        finished_at | TIMESTAMPTZ | - | when it was done
        status | VARCHAR | - | finished, unfinished or not started
        deadline_met | BOOLEAN | - | empty without a deadline, or where the plan ends before it
        call_backs | INTEGER | - | how often inference took its nodes
        work_gpu_s | BIGINT | GPU-s | progress until it is done
        useful_gpu_s | BIGINT | GPU-s | progress that was kept
        lost_gpu_s | BIGINT | GPU-s | progress since the last checkpoint, lost at call-backs
        restarting_gpu_s | BIGINT | GPU-s | loading
        value_usd_micros | BIGINT | 1e-6 USD | worth of the kept progress; 0 where the deadline is missed
        reason | VARCHAR | - | why it is not finished
        """,
    ),
    table(
        "training_job_run",
        "one lent node that a training job held without a break",
        """
        run_id | VARCHAR | - | the run
        job_index | INTEGER | - | the job, see training_job
        segment_index | INTEGER | - | number of the job's time without a break, from 0
        node_slot | INTEGER | - | number of the lent node; no two nodes lent at a time have the same
        gpus | INTEGER | GPUs | held on this node
        start_at | TIMESTAMPTZ | - | from
        end_at | TIMESTAMPTZ | - | to
        restarting_gpu_s | BIGINT | GPU-s | of that, loading
        useful_gpu_s | BIGINT | GPU-s | of that, progress that was kept
        lost_gpu_s | BIGINT | GPU-s | of that, progress that was lost
        ending | VARCHAR | - | finished, called back or plan ends
        """,
    ),
    table(
        "policy_comparison",
        "a policy of a comparison, with its run",
        """
        comparison_id | VARCHAR | - | the comparison
        created_at | TIMESTAMPTZ | - | when it was stored
        policy | VARCHAR | - | policy, or policy@demand-source
        run_id | VARCHAR | - | its plan
        node_hours | DOUBLE | h | that inference holds
        cost_usd | DOUBLE | USD | of inference
        shortfall_ratio | DOUBLE | - | tokens beyond the capacity over all tokens
        scale_actions | BIGINT | - | changes of a role's units
        wasted_node_hours | DOUBLE | h | beyond those that carry the demand at full use
        gap_to_bound | DOUBLE | - | node-hours over the bound, less 1; null beyond the allowed shortfall
        level_utilisation | DOUBLE | - | highest target utilisation within the allowed shortfall
        level_node_hours | DOUBLE | h | that inference holds with it
        level_gap_to_bound | DOUBLE | - | level_node_hours over the bound, less 1
        ttft_attainment | DOUBLE | - | share of requests within slo.ttft_ms, where it was replayed
        tpot_attainment | DOUBLE | - | share of requests within slo.tpot_ms, where it was replayed
        bound_node_hours | DOUBLE | h | proven minimum of any policy within the allowed shortfall
        bound_status | VARCHAR | - | optimal, or how far the search got
        """,
    ),
    table(
        "replay_run",
        "what a replay of every request measured over its window",
        """
        run_id | VARCHAR | - | the run
        window_start | TIMESTAMPTZ | - | requests that arrive from this time on are counted
        window_end | TIMESTAMPTZ | - | up to this time
        simulated_from | TIMESTAMPTZ | - | start of the warm-up, with empty units
        simulated_to | TIMESTAMPTZ | - | end of the cool-down
        ranks | VARCHAR | - | measured imbalance of the GPUs of a unit, or exact
        prefill_balancer | VARCHAR | - | balancer that chose prefill units
        decode_balancer | VARCHAR | - | balancer that chose decode units
        arrived | BIGINT | requests | completed + in_flight + rejected
        completed | BIGINT | requests | that finished before simulated_to
        in_flight | BIGINT | requests | that had not finished by then
        rejected | BIGINT | requests | because of a full queue, after too long a wait, or longer than a unit can serve
        moved | BIGINT | streams | handed to other units at drain deadlines, counted or not
        simulated_requests | BIGINT | requests | with warm-up and cool-down
        wall_s | DOUBLE | s | wall-clock time of the replay
        kv_peak_ratio | DOUBLE | - | highest KV of a unit in the window over its capacity
        kv_imbalance_mean | DOUBLE | - | largest over mean KV of decode units, time mean
        kv_imbalance_p99 | DOUBLE | - | its 99th percentile over time
        stream_imbalance_mean | DOUBLE | - | the same for streams
        stream_imbalance_p99 | DOUBLE | - | the same for streams
        rank_kv_imbalance_mean | DOUBLE | - | inside units, where ranks are exact
        rank_stream_imbalance_mean | DOUBLE | - | the same for streams
        retried | BIGINT | tries | retries of rejected requests
        rank_kv_imbalance_table | DOUBLE | - | inside units, as measured for the balancer at as many streams per GPU
        rank_kv_imbalance_p99 | DOUBLE | - | of rank_kv_imbalance_mean, the 99th percentile over time
        rank_stream_imbalance_p99 | DOUBLE | - | the same for streams
        prefill_token_imbalance_mean | DOUBLE | - | largest over mean missed tokens of prefill units, time mean
        prefill_token_imbalance_p99 | DOUBLE | - | its 99th percentile over time
        prefill_request_imbalance_mean | DOUBLE | - | the same for requests
        prefill_request_imbalance_p99 | DOUBLE | - | the same for requests
        waited_for_start | BIGINT | requests | that came while a role held no unit: they wake one; NULL in older runs
        waited_for_repair | BIGINT | requests | that came while all held units of a role had failed; NULL in older runs
        """,
    ),
    table(
        "replay_interval",
        "an hour of a replay's window and a class of requests, by arrival",
        """
        run_id | VARCHAR | - | the run
        interval_start | TIMESTAMPTZ | - | start of the hour, counted from the window's start
        class_id | SMALLINT | - | class, see request_class
        arrived | BIGINT | requests | that arrived in it
        completed | BIGINT | requests | of these, finished
        rejected_queue | BIGINT | requests | of these, rejected at arrival: the queue was full, or no unit can hold them
        rejected_timeout | BIGINT | requests | of these, rejected after too long a wait
        ttft_mean_ms | DOUBLE | ms | mean time to the first token
        tpot_mean_ms | DOUBLE | ms | mean time per output token after the first
        e2e_mean_ms | DOUBLE | ms | mean time to the last token
        ttft_counted | BIGINT | requests | with a first token, or too late for one in time at the end
        ttft_met | BIGINT | requests | of these, within slo.ttft_ms
        tpot_counted | BIGINT | requests | finished, with more than one token, or too late for all in time
        tpot_met | BIGINT | requests | of these, within slo.tpot_ms
        both_met | BIGINT | requests | finished within both
        retried | BIGINT | tries | retries of rejected requests
        input_tokens | BIGINT | tokens | of those that arrived
        hit_tokens | BIGINT | tokens | of these, found in a prefix cache
        both_counted | BIGINT | requests | finished, rejected, or too late for either target
        """,
    ),
    table(
        "replay_unit",
        "a unit of a replay, warm-up and cool-down included",
        """
        run_id | VARCHAR | - | the run
        role | VARCHAR | - | prefill or decode
        unit | INTEGER | - | number within the role, as in replay_request
        serves_from | TIMESTAMPTZ | - | when it began to take work, not before simulated_from
        drains_from | TIMESTAMPTZ | - | when it stopped taking work; none where it stayed
        drain_s | DOUBLE | s | until it was empty; none where it stayed or was not empty at the end
        moved | BIGINT | streams | handed to other units at its drain deadline
        """,
    ),
    table(
        "replay_request",
        "a request of a replay's window, where the replay was asked to keep requests",
        """
        run_id | VARCHAR | - | the run
        request_index | BIGINT | - | its index among the simulated requests
        arrival_us | BIGINT | us | arrival
        class_id | SMALLINT | - | class, see request_class
        input_tokens | BIGINT | tokens | input
        output_tokens | BIGINT | tokens | output
        status | VARCHAR | - | completed, in-flight, rejected-queue, rejected-timeout or rejected-length
        prefill_unit | INTEGER | - | unit that read the prompt
        decode_unit | INTEGER | - | unit that finished the output
        ttft_us | DOUBLE | us | time to the first token
        e2e_us | DOUBLE | us | time to the last token
        moved | BIGINT | - | times it was handed to another unit at a drain deadline
        """,
    ),
    table(
        "latency_histogram",
        "requests of an hour and class whose latency falls in a bucket under 0.8 % wide",
        """
        run_id | VARCHAR | - | the run
        interval_start | TIMESTAMPTZ | - | start of the hour
        class_id | SMALLINT | - | class, see request_class
        metric | VARCHAR | - | ttft, tpot or e2e
        from_us | DOUBLE | us | lower edge of the bucket
        to_us | DOUBLE | us | upper edge of the bucket
        request_count | BIGINT | requests | in the bucket
        """,
    ),
    table(
        "replay_minute",
        "a minute of a replay, warm-up and cool-down included",
        """
        run_id | VARCHAR | - | the run
        minute_start | TIMESTAMPTZ | - | start of the minute
        prefill_unit_us | DOUBLE | unit-us | prefill units that took work or drained
        prefill_busy_us | DOUBLE | unit-us | in passes
        decode_unit_us | DOUBLE | unit-us | decode units that took work or drained
        decode_busy_us | DOUBLE | unit-us | in steps
        stream_us | DOUBLE | stream-us | active streams
        kv_token_us | DOUBLE | token-us | KV of active streams
        kv_tokens_most | DOUBLE | tokens | highest KV of a unit, with what each stream takes beside its own tokens
        output_tokens | BIGINT | tokens | generated by decode
        prefill_work_us | DOUBLE | unit-us | of prefill_busy_us, what all ranks together would need for the same work
        prefill_queue_us | DOUBLE | request-us | waiting for the first pass
        decode_queue_us | DOUBLE | request-us | since prefill ended or a unit was left, until admitted
        """,
    ),
    table(
        "sweep_case",
        "one plan of a sweep",
        """
        sweep_id | VARCHAR | - | name of the sweep
        policy | VARCHAR | - | policy of the plan
        case_index | INTEGER | - | number of the case, from 0; the same values for every policy
        role | VARCHAR | - | base, sample, low or high (one parameter at an end of its range), or seed (a draw of noise)
        varied | VARCHAR | - | the parameter of low, high and seed
        parameters | JSON | - | value of every uncertain parameter
        noise_seed | BIGINT | - | seed of the noise
        plan_s | BIGINT | s | time that the plan covers
        peak_nodes | INTEGER | nodes | most nodes that inference holds
        inference_node_s | BIGINT | node-s | that inference holds
        training_node_s | BIGINT | node-s | lent to training, loading included
        useful_training_node_s | BIGINT | node-s | of that, useful
        cost_usd_micros | BIGINT | 1e-6 USD | nodes that inference holds
        revenue_usd_micros | BIGINT | 1e-6 USD | theoretical: all tokens at list price
        demanded_tokens | BIGINT | tokens | input and output
        shortfall_tokens | BIGINT | tokens | of these, beyond the capacity
        requests | BIGINT | requests | arrivals
        latency_met_requests | BIGINT | requests | of these, in intervals modelled to keep the latency targets
        slo_met | BOOLEAN | - | whether the shortfall is within slo.max_shortfall_ratio
        created_at | TIMESTAMPTZ | - | when it was stored
        scenario | VARCHAR | - | name of the scenario
        trace | VARCHAR | - | name of the trace
        settings | JSON | - | in the base's row: the whole scenario, with ranges and provenance
        planner_version | VARCHAR | - | version that made it
        """,
    ),
    table(
        "job_run",
        "one logical date of a nightly job: the ledger that makes it run once",
        """
        job | VARCHAR | - | the job
        logical_date | DATE | - | local date of the night
        status | VARCHAR | - | running, done, failed, released (stopped half-way) or skipped (too long ago)
        attempts | INTEGER | - | how often it was started
        owner | VARCHAR | - | host, process and start time of the current or last owner
        lease_until | TIMESTAMPTZ | - | until when no process on another host may take it over
        started_at | TIMESTAMPTZ | - | start of the last attempt
        finished_at | TIMESTAMPTZ | - | its end
        step | VARCHAR | - | step that it reached
        run_id | VARCHAR | - | the plan that it stored
        exit_code | INTEGER | - | 0 done, 1 failed, 3 done and a stated limit missed
        message | VARCHAR | - | why it failed, or what was missed
        announced_at | TIMESTAMPTZ | - | when notifications of it had arrived, if there are any
        """,
    ),
    table(
        "forecast_interval",
        "the forecast of one interval behind a nightly plan, whose demand is a quantile of it",
        """
        run_id | VARCHAR | - | the run
        interval_start | TIMESTAMPTZ | - | start of the interval
        input_tokens | BIGINT | tokens | forecast
        output_tokens | BIGINT | tokens | forecast
        """,
    ),
    table(
        "plan_actual",
        "one past day of a nightly job: its plan against the actual load",
        """
        job | VARCHAR | - | the job
        day | DATE | - | the day, local
        run_id | VARCHAR | - | the plan that was made for it
        intervals | INTEGER | intervals | of the day
        planned_node_s | BIGINT | node-s | that the plan held for inference
        needed_node_s | BIGINT | node-s | the fewest that carry the actual load: policy oracle
        planned_peak_nodes | INTEGER | nodes | most that the plan held
        needed_peak_nodes | INTEGER | nodes | most that were needed
        requests | BIGINT | requests | actual
        input_tokens | BIGINT | tokens | actual
        output_tokens | BIGINT | tokens | actual
        forecast_input_tokens | BIGINT | tokens | forecast
        forecast_output_tokens | BIGINT | tokens | forecast
        input_error_tokens | BIGINT | tokens | sum over intervals of the absolute forecast error
        output_error_tokens | BIGINT | tokens | the same for output tokens
        intervals_within_quantile | INTEGER | intervals | whose load stayed within what was planned for
        shortfall_tokens | BIGINT | tokens | beyond the capacity of the plan
        needed_shortfall_tokens | BIGINT | tokens | beyond the capacity of the whole fleet
        excess_cost_usd_micros | BIGINT | 1e-6 USD | node-time held beyond what was needed, interval by interval
        shortfall_revenue_usd_micros | BIGINT | 1e-6 USD | list price of the tokens beyond the plan's capacity
        band_missed | BOOLEAN | - | whether the forecast error was beyond the job's drift.band
        drift | BOOLEAN | - | whether it was on drift.days consecutive days
        """,
    ),
)

"""Nightly jobs: yesterday's log in, tomorrow's plan out, exactly once per date, even if processes are killed.

jobs_file        the settings            dates              which dates are due, by the local clock
due              runs what is due now; then publish, index_page, notify
night            the steps of one date: logs, past_days, day_ahead, outputs, prune
logs             the logs of a job's days                   local_days    their bounds and demand
plan_vs_actual   a past day's plan against actual demand    past_days     the stored figures of those
history          days by slot of the local clock            expected_demand, day_ahead    the plan of a day to come
ledger, lock     claims and leases; one scheduler per store
service          the long-running process: APScheduler, signals; http_server, metrics, health
documents        what is printed, posted and answered as JSON               events    what is logged
"""

"""Nightly jobs: yesterday's log in, tomorrow's plan out, exactly once per date, whatever is killed in between.

settings   the jobs file          dates    which dates are due, by the local clock
ledger     claims and leases      night    the steps of one date
logs       the logs of a job's days   due      what is to be done now; then publish, index page, notification
service    the long-running process: APScheduler, signals, /metrics and /healthz
lock, notify, metrics, index_page
"""

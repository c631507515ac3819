"""Deleting what is older than a job keeps: traces of logs, plans with their reports and dated exports."""

import shutil
from datetime import date
from pathlib import Path

from planner.nightly.dates import ONE_DAY
from planner.nightly.documents import LedgerRow
from planner.nightly.events import EventLog
from planner.nightly.jobs_file import NightlyJob
from planner.nightly.logs import JobLogs
from planner.nightly.outputs import export_path, report_folder
from planner.nightly.past_days import stored_run_ids
from planner.runs.write import delete_run
from planner.store import Store
from planner.trace import stored as stored_traces


def delete_old_traces(logs: JobLogs, newest: date, log: EventLog) -> None:
    """Delete the traces of logs that are older than keep_trace_days. newest: the day of the newest log."""
    oldest = newest - (logs.job.keep_trace_days - 1) * ONE_DAY
    with logs.store.read() as session:
        traces = logs.days(session)
    for day, name in traces.items():
        if day < oldest:
            stored_traces.delete(logs.store, name)
            log("deleted", trace=name)


def delete_old_plans(store: Store, job: NightlyJob, out: Path, newest: date, log: EventLog) -> None:
    """Delete plans, reports and exports of nights that are older than keep_report_days. newest: the newest night."""
    oldest = newest - (job.keep_report_days - 1) * ONE_DAY
    with store.read() as session:
        rows = [row for row in session.records("job_runs", LedgerRow) if row.job == job.name and row.run_id]
        stored = stored_run_ids(session)
    kept = {path for row in rows if row.logical_date >= oldest for path in _export_paths(job, out, row.logical_date)}
    for row in rows:
        if row.logical_date >= oldest:
            continue
        shutil.rmtree(report_folder(out, job, row.logical_date), ignore_errors=True)
        # a name may recur, as names with weekdays do
        for path in _export_paths(job, out, row.logical_date) - kept:
            path.unlink(missing_ok=True)
        if row.run_id in stored:
            delete_run(store, row.run_id)
            log("deleted", run_id=row.run_id)


def _export_paths(job: NightlyJob, out: Path, night: date) -> set[Path]:
    return {export_path(out, file, night) for file in job.export}

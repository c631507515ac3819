"""The long-running service: APScheduler wakes it when a date is due, and every minute in case the clock was changed."""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from planner.errors import PlannerError
from planner.nightly import ledger
from planner.nightly.dates import Now, next_due_at
from planner.nightly.due import Scheduler
from planner.nightly.events import EventLog
from planner.nightly.health import Health
from planner.nightly.http_server import serve_health
from planner.nightly.jobs_file import Jobs
from planner.nightly.past_days import read_past_days

_CHECK_S = 60.0
"""Seconds between checks of the ledger: how late a changed clock, or the end of a pause after a failure, is noticed."""

_WAKE_S = 0.5
"""Seconds between checks whether to stop."""

_NIGHTLY = "nightly"


class NextDue(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """Fires when the next date of any job is due, and after _CHECK_S seconds at the latest.

    It asks the service's own clock, so what it fires is never late or double: the ledger says what is to be done.
    """

    def __init__(self, jobs: Jobs, clock: Now) -> None:
        self._jobs, self._clock = jobs, clock

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The next moment by the scheduler's clock. A first one is now."""
        if previous_fire_time is None:
            return now
        moment = self._clock()
        nexts = [next_due_at(moment, job.at, self._jobs.scenarios[job.name].zone) for job in self._jobs.file.job]
        return now + timedelta(seconds=min(_CHECK_S, (min(nexts) - moment).total_seconds()))


def serve(scheduler: Scheduler, stop: threading.Event) -> None:
    """Run until `stop` is set; a night in progress ends its step and releases its lease. Raises PlannerError."""
    now = scheduler.clock()
    health = Health(started_at=now, looked_at=now)
    _route_logs(scheduler.log)
    with serve_health(scheduler.jobs.file.port, health, scheduler.clock) as port:
        background = BackgroundScheduler(
            timezone="UTC",
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        background.add_job(
            check_ledger, NextDue(scheduler.jobs, scheduler.clock), args=(scheduler, health), id=_NIGHTLY
        )
        begun = datetime.now(UTC)
        background.start()
        scheduler.log("started", jobs=[job.name for job in scheduler.jobs.file.job], port=port)
        _wait(background, stop, begun)
        scheduler.log("stopping")
        background.shutdown(wait=True)
    scheduler.log("stopped")


def _wait(background: BackgroundScheduler, stop: threading.Event, before: datetime) -> None:
    """Wait until `stop` is set. APScheduler waits by the wall clock: if that is put back, check the ledger at once.

    before: when it was started.
    """
    # a signal that the system hands to another thread does not wake this one: it has to check now and then
    while not stop.wait(_WAKE_S):
        after = datetime.now(UTC)
        if after < before:
            background.modify_job(_NIGHTLY, next_run_time=after)
        before = after


def check_ledger(scheduler: Scheduler, health: Health) -> None:
    """Run what is due, then refresh the data of the metrics. Errors are logged and counted; bugs are raised."""
    health.begin_check(scheduler.clock())
    try:
        _count_errors(scheduler, health, scheduler.run_due)
    finally:
        health.end_check(scheduler.clock())
        _count_errors(scheduler, health, lambda: _refresh(scheduler, health))


def _count_errors(scheduler: Scheduler, health: Health, part: Callable[[], object]) -> None:
    try:
        part()
    except PlannerError as error:
        # the store is locked by another process, or the disk is full: the next check tries again
        scheduler.log("check failed", level="error", message=str(error))
        health.count_error()
    except Exception:
        health.count_error()
        raise


def _refresh(scheduler: Scheduler, health: Health) -> None:
    rows = ledger.read_ledger(scheduler.store)
    newest_days = []
    if rows:
        with scheduler.store.read() as session:
            for job in scheduler.jobs.file.job:
                newest_days += read_past_days(session, job.name)[:1]
    health.refresh(rows, newest_days)


def _route_logs(log: EventLog) -> None:
    """Write what APScheduler reports, bugs in a night with their traceback included, to the service's log."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
            log("scheduler", level=record.levelname.lower(), message=record.getMessage(), traceback=trace)

    logger = logging.getLogger("apscheduler")
    # at each minute of a long night it would warn that the night is still being run
    logger.setLevel(logging.ERROR)
    logger.handlers = [Lines()]
    logger.propagate = False

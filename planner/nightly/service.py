"""The long-running service: APScheduler wakes it when a date is due, and every minute in case the clock was changed."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from planner.errors import PlannerError
from planner.nightly import ledger
from planner.nightly.dates import Now, next_due_at
from planner.nightly.due import Scheduler
from planner.nightly.health import Health, failed_nights
from planner.nightly.http_server import serve_health
from planner.nightly.jobs_file import Jobs
from planner.nightly.log_lines import route_logs
from planner.nightly.past_days import read_past_days
from planner.nightly.planned_units import read_planned

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
    route_logs("apscheduler", scheduler.log, "scheduler")
    with serve_health(scheduler.jobs.file.port, health, scheduler.clock, scheduler.log) as port:
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
    """Run what is due, then refresh the data of the metrics. Errors are logged and counted; bugs are raised.

    After an error the service is not healthy until a look succeeds, and after a night that failed until one is done.
    """
    health.begin_check(scheduler.clock())
    if not health.rows:
        # after a start, plans are known before a night begins that may be long
        with suppress(PlannerError, OSError):  # the look meets it again, and tells it
            _refresh(scheduler, health)
    reason = "a look ended with a defect; its traceback is in the log"
    try:
        scheduler.run_due()
        reason = ""
    except (PlannerError, OSError) as error:
        # the store is locked by another process or damaged, or the disk is full: the next check tries again
        reason = str(error)
    finally:
        try:
            _refresh(scheduler, health)
        except (PlannerError, OSError) as error:
            reason = reason or str(error)
        finally:
            if reason and reason != health.reason:
                scheduler.log("check failed", level="error", message=reason)
            elif health.reason and not reason:
                scheduler.log("check succeeded again")
            health.end_check(scheduler.clock(), reason)


def _refresh(scheduler: Scheduler, health: Health) -> None:
    notices = scheduler.announcer.notices
    health.count_notifications(notices.waiting, notices.failures)
    rows = ledger.read_ledger(scheduler.store)
    newest_days, planned = [], health.planned
    jobs = [job.name for job in scheduler.jobs.file.job]
    if rows:
        zones = {job: scheduler.jobs.scenarios[job].zone for job in jobs}
        with scheduler.store.read() as session:
            for job in jobs:
                newest_days += read_past_days(session, job)[:1]
            planned = read_planned(session, rows, zones, scheduler.clock(), health.planned)
    health.refresh(rows, newest_days, planned, failed_nights(rows, jobs, scheduler.waits_for_log))

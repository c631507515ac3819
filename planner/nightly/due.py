"""Runs what is due: dates in order, each once; how they ended is told and published."""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property

from planner.errors import LimitMissed, PlannerError, StoreError
from planner.nightly import ledger
from planner.nightly.announce import Announcer
from planner.nightly.dates import ONE_DAY, Now, due_dates, latest_due
from planner.nightly.documents import LedgerRow
from planner.nightly.events import EventLog, add_fields
from planner.nightly.jobs_file import Jobs, NightlyJob
from planner.nightly.ledger import Claim, Owner
from planner.nightly.logs import JobLogs, LogNotReady
from planner.nightly.night import Night, Stopped
from planner.nightly.outputs import sweep_outputs, write_failure
from planner.store import Store

FAILED = PlannerError.exit_code
MISSED = LimitMissed.exit_code


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """Runs what is due by the ledger. stopping: whether to end before the next step."""

    store: Store
    jobs: Jobs
    owner: Owner
    clock: Now
    log: EventLog
    stopping: Callable[[], bool]

    def run_due(self) -> int:
        """Do what is due; 0 all done, 1 something failed or waits, 3 done and a stated limit missed.

        Whatever keeps it from being done is told, then raised.
        """
        self.announcer.notices.begin_look()
        sweep_outputs(self.jobs.out, self.jobs.file.job)
        try:
            try:
                codes = {self._run_job(job) for job in self.jobs.file.job}
                self.announcer.tell()
                self.announcer.publish()
            except OSError as error:
                raise write_failure(error) from error
        except Exception as error:
            self.announcer.tell_trouble(error, self._unrecorded.night)
            raise
        if not self._unrecorded.since:
            self.announcer.end_trouble()
        return next((code for code in (FAILED, MISSED) if code in codes), 0)

    @cached_property
    def announcer(self) -> Announcer:
        """Tells how nights ended; remembers what it could not tell."""
        return Announcer(store=self.store, jobs=self.jobs, clock=self.clock, log=self.log, stopping=self.stopping)

    def waits_for_log(self, row: LedgerRow) -> bool:
        """Whether a night that failed only waits for its log, which is missing or incomplete.

        Of a night of an earlier process it is known only whether there is a log now, until it is tried again.
        """
        waiting = self._waiting.get((row.job, row.logical_date))
        return waiting if waiting is not None else row.step == "import" and not self._has_log(row)

    def _has_log(self, row: LedgerRow) -> bool:
        """Whether there is a log for a date of a job."""
        return any(
            JobLogs(
                store=self.store, job=job, scenario=self.jobs.scenarios[job.name], folder=self.jobs.folder
            ).is_available(row.logical_date - ONE_DAY)
            for job in self.jobs.file.job
            if job.name == row.job
        )

    @cached_property
    def _waiting(self) -> dict[tuple[str, date], bool]:
        """Whether nights that failed in this process wait for their logs."""
        return {}

    @cached_property
    def _unrecorded(self) -> "_Unrecorded":
        return _Unrecorded()

    def _announce(self) -> None:
        """After a date: tell how it ended, and publish; what cannot be published is no reason not to go on."""
        self.announcer.tell()
        try:
            self.announcer.publish()
        except PlannerError as error:
            self.log("not published", level="error", message=str(error))

    def _run_job(self, job: NightlyJob) -> int:
        """The dates of a job that are due, in order; a later one waits for an earlier one that may still succeed."""
        self._unrecorded.night = None
        rows = {row.logical_date: row for row in ledger.read_ledger(self.store) if row.job == job.name}
        newest = latest_due(self.clock(), job.at, self.jobs.scenarios[job.name].zone)
        dates = self._due_dates(job, rows, newest)
        worst = 0
        for day in dates:
            self._unrecorded.night = job.name, day
            code = self._run_date(job, day, rows.get(day), is_newest=day == newest)
            self._unrecorded.night = None
            self._announce()
            if code is None or (self.stopping() and day != dates[-1]):
                return FAILED
            worst = FAILED if FAILED in (worst, code) else worst or code
        return worst

    def _due_dates(self, job: NightlyJob, rows: dict[date, LedgerRow], newest: date) -> tuple[date, ...]:
        """The dates to run; those that are too long ago are noted as skipped. rows: of the job, by date."""
        now = self.clock()
        begun = {day: row for day, row in rows.items() if not ledger.ended_ahead_of_time(row, now)}
        ended = {day for day, row in begun.items() if _has_ended(row, job, newest)}
        dates = due_dates(newest, job.first, begun, ended, job.catch_up_days)
        if dates.skipped:
            first, last = dates.skipped[0], dates.skipped[-1]
            self.log("skipped", level="warning", job=job.name, first=first, last=last, dates=len(dates.skipped))
            why = f"longer ago than catch_up_days={job.catch_up_days} when the service next ran"
            ledger.skip_dates(self.store, job.name, dates.skipped, owner=self.owner, now=now, message=why)
        return dates.due

    def _run_date(self, job: NightlyJob, day: date, row: LedgerRow | None, *, is_newest: bool) -> int | None:
        """One date; None if it, and those after it, have to wait. Final failures are returned as their exit code."""
        now = self.clock()
        if row is not None and _is_backing_off(row, job, now):
            self.log("waits", job=job.name, date=day, why="failed recently", message=row.message)
            return None
        failed_at = self._unrecorded.since.get((job.name, day))
        if failed_at is not None and failed_at <= now < failed_at + timedelta(seconds=job.retry_s):
            self.log("waits", job=job.name, date=day, why="failed recently, and that could not be recorded")
            return None
        claim = ledger.claim_date(self.store, job.name, day, owner=self.owner, lease_s=self.jobs.file.lease_s, now=now)
        if claim is None:
            until = row.lease_until.isoformat() if row else None
            self.log("waits", level="warning", job=job.name, date=day, why="another host holds it", until=until)
            return None
        self._unrecorded.since.pop((job.name, day), None)
        if row is not None and row.status == "running" and failed_at is None and claim.attempts > job.attempts:
            self._waiting[job.name, day] = False
            claim.end("failed", FAILED, f"given up after {job.attempts} attempts that did not finish", now)
            return FAILED
        code = self._attempt(job, claim, is_newest=is_newest)
        return None if code == FAILED and claim.attempts < job.attempts else code

    def _attempt(self, job: NightlyJob, claim: Claim, *, is_newest: bool) -> int:
        """One attempt at a date, ended in the ledger in any case but that of a lost lease."""
        log = add_fields(self.log, job=job.name, date=claim.day)
        log("begins", attempt=claim.attempts)
        night = Night(
            store=self.store,
            job=job,
            scenario=self.jobs.scenarios[job.name],
            folder=self.jobs.folder,
            out=self.jobs.out,
            claim=claim,
            clock=self.clock,
            log=log,
            stopping=self.stopping,
        )
        try:
            return self._run_night(night, is_newest=is_newest)
        except ledger.LeaseLost as error:
            log("taken over", level="error", message=str(error))
            return FAILED
        except StoreError:
            self._unrecorded.since[job.name, claim.day] = self.clock()
            raise

    def _run_night(self, night: Night, *, is_newest: bool) -> int:
        """Run a night and end its attempt in the ledger. Raises LeaseLost, StoreError."""
        claim, log = night.claim, night.log
        try:
            missed = _run_steps(night)
        except ledger.LeaseLost:
            raise
        except Stopped:
            message = "stopped before it was finished; continues at the next start"
            claim.end("released", None, message, self.clock(), counts=False)
            log("released")
            return FAILED
        except PlannerError as error:
            # until the next date is due, waiting for a log, for room on the disk or for the store uses up no attempts
            waits = is_newest and _may_pass(error) and claim.attempts > 1
            log("failed", level="error", message=str(error))
            self._waiting[claim.job, claim.day] = isinstance(error, LogNotReady)
            claim.end("failed", FAILED, str(error), self.clock(), counts=not waits)
            return FAILED
        except Exception as error:
            self._waiting[claim.job, claim.day] = False
            claim.end("failed", FAILED, f"defect: {type(error).__name__}: {error}", self.clock())
            raise
        claim.end("done", MISSED if missed else 0, "; ".join(missed), self.clock())
        log("done", missed=missed)
        return MISSED if missed else 0


@dataclass
class _Unrecorded:
    """What is not in the ledger.

    night: the job and date that are worked on. since: when attempts failed whose end could not be written.
    """

    night: tuple[str, date] | None = None
    since: dict[tuple[str, date], datetime] = field(default_factory=dict)


def owner_now(pid: int, now: datetime) -> Owner:
    """This process on this host."""
    return Owner(socket.gethostname(), pid, now)


def _run_steps(night: Night) -> list[str]:
    try:
        return night.run()
    except OSError as error:
        raise write_failure(error) from error


def _may_pass(error: PlannerError) -> bool:
    """Whether a failure is one of the night's surroundings: its log, files or store."""
    return isinstance(error, LogNotReady | StoreError) or isinstance(error.__cause__, OSError)


def _has_ended(row: LedgerRow, job: NightlyJob, newest: date) -> bool:
    """Whether a date is not tried again. The newest one waits for its log, however often that was missing."""
    waits = row.logical_date == newest and row.step == "import"
    failed = row.status == "failed" and row.attempts >= job.attempts and not waits
    return row.status in ledger.ENDED or failed


def _is_backing_off(row: LedgerRow, job: NightlyJob, now: datetime) -> bool:
    """Whether a failed date waits before it is tried again; putting the clock back does not prolong the wait."""
    if row.status != "failed" or row.finished_at is None:
        return False
    return row.finished_at <= now < row.finished_at + timedelta(seconds=job.retry_s)

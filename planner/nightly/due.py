"""What is to be done now: dates in order, each once; then publish, write the index page, tell."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from planner.errors import LimitMissed, PlannerError
from planner.nightly import ledger
from planner.nightly.dates import latest_due, missing
from planner.nightly.index_page import write_index
from planner.nightly.jobs_file import Job, Jobs
from planner.nightly.ledger import Claim, Owner, Row
from planner.nightly.logs import LogNotReady
from planner.nightly.night import Clock, Log, Night, Stopped, report_folder, wrapped
from planner.nightly.notify import notify
from planner.store import Store, publish

FAILED = PlannerError.exit_code
MISSED = LimitMissed.exit_code


@dataclass(frozen=True)
class Scheduler:
    """What every look at the ledger needs. stopping: whether to end before the next step."""

    store: Store
    jobs: Jobs
    owner: Owner
    clock: Clock
    log: Log
    stopping: Callable[[], bool]

    def run_due(self) -> int:
        """Do what is due; 0 all done, 1 something failed or waits, 3 done and a stated limit missed."""
        codes = {self._job(job) for job in self.jobs.file.job}
        self.announce()
        return next((code for code in (FAILED, MISSED) if code in codes), 0)

    def announce(self) -> None:
        """Publish, write the index page and tell about nights that ended since; what was cut short is done again."""
        names = {job.name: job for job in self.jobs.file.job}
        ended = [
            row
            for row in ledger.rows(self.store)
            if row["job"] in names and row["status"] in (*ledger.ENDED, "failed") and row["announced_at"] is None
        ]
        if not ended:
            return
        try:
            publish(self.store)
            write_index(self.store, self.jobs)
        except OSError as error:
            raise wrapped(error) from error
        for row in ended:
            if row["exit_code"] or row["status"] != "done" or self.jobs.file.notify.on == "all":
                for problem in notify(self.jobs.file.notify, self._document(row, names[row["job"]])):
                    self.log("not told", level="error", problem=problem)
            ledger.announced(self.store, row, self.clock())

    def _job(self, job: Job) -> int:
        """The dates of a job that are due, in order; a later one waits for an earlier one that may still succeed."""
        rows = {row["logical_date"]: row for row in ledger.rows(self.store) if row["job"] == job.name}
        now = self.clock()
        newest = latest_due(now, job.at, self.jobs.scenarios[job.name].zone)
        known = {day: row for day, row in rows.items() if not ledger.too_early(row, now)}
        ended = {day for day, row in known.items() if _has_ended(row, job, newest)}
        found = missing(newest, job.first, known, ended, job.catch_up_days)
        if found.skipped:
            first, last = found.skipped[0], found.skipped[-1]
            self.log("skipped", level="warning", job=job.name, first=first, last=last, dates=len(found.skipped))
            why = f"longer ago than catch_up_days={job.catch_up_days} when the service next ran"
            ledger.skip(self.store, job.name, found.skipped, self.owner, now, why)
        worst = 0
        for day in found.due:
            code = self._date(job, day, rows.get(day), is_newest=day == newest)
            self.announce()
            if code is None or (self.stopping() and day != found.due[-1]):
                return FAILED
            worst = FAILED if FAILED in (worst, code) else worst or code
        return worst

    def _date(self, job: Job, day: date, row: Row | None, *, is_newest: bool) -> int | None:
        """One date; None where it, and those after it, have to wait. Failures for good are passed with their code."""
        now = self.clock()
        if row is not None and _rests(row, job, now):
            self.log("waits", job=job.name, date=day, why="failed a short time ago", message=row["message"])
            return None
        lease_s = self.jobs.file.lease_s
        claim = ledger.claim(self.store, job.name, day, self.owner, lease_s, now)
        if claim is None:
            until = row["lease_until"].isoformat() if row else None
            self.log("waits", level="warning", job=job.name, date=day, why="another host has it", until=until)
            return None
        if row is not None and row["status"] == "running" and claim.attempts > job.attempts:
            claim.end("failed", FAILED, f"given up after {job.attempts} attempts that did not end", now)
            return FAILED
        code = self._attempt(job, claim, is_newest=is_newest)
        return None if code == FAILED and claim.attempts < job.attempts else code

    def _attempt(self, job: Job, claim: Claim, *, is_newest: bool) -> int:
        """One attempt at a date, ended in the ledger in any case but that of a lost lease."""

        def log(event: str, **fields: Any) -> None:
            self.log(event, job=job.name, date=claim.day, **fields)

        log("begins", attempt=claim.attempts)
        scenario = self.jobs.scenarios[job.name]
        night = Night(
            self.store,
            job,
            scenario,
            self.jobs.folder,
            self.jobs.out,
            claim.day,
            claim,
            self.clock,
            log,
            self.stopping,
        )
        try:
            return self._tried(night, claim, log, is_newest=is_newest)
        except ledger.LeaseLost as error:
            log("taken over", level="error", message=str(error))
            return FAILED

    def _tried(self, night: Night, claim: Claim, log: Log, *, is_newest: bool) -> int:
        """Run a night and end its attempt in the ledger. Raises LeaseLost, StoreError."""
        try:
            missed = _run(night)
        except ledger.LeaseLost:
            raise
        except Stopped:
            claim.end(ledger.RELEASED, None, "stopped half-way; goes on at the next start", self.clock(), uncounted=1)
            log("released")
            return FAILED
        except PlannerError as error:
            # until the next date is due, waiting for a log uses up no attempts
            waits = is_newest and isinstance(error, LogNotReady) and claim.attempts > 1
            claim.end("failed", FAILED, str(error), self.clock(), uncounted=int(waits))
            log("failed", level="error", message=str(error))
            return FAILED
        except Exception as error:
            claim.end("failed", FAILED, f"defect: {type(error).__name__}: {error}", self.clock())
            raise
        claim.end("done", MISSED if missed else 0, "; ".join(missed), self.clock())
        log("done", missed=missed)
        return MISSED if missed else 0

    def _document(self, row: Row, job: Job) -> dict[str, Any]:
        folder = report_folder(self.jobs.out, job, row["logical_date"])
        return {
            **{
                key: row[key] for key in ("job", "logical_date", "status", "exit_code", "message", "run_id", "attempts")
            },
            "report": str(folder / "index.html") if folder.is_dir() else None,
        }


def owner_now(pid: int, now: datetime) -> Owner:
    """This process on this host."""
    return Owner(socket.gethostname(), pid, now)


def _run(night: Night) -> list[str]:
    try:
        return night.run()
    except OSError as error:
        raise wrapped(error) from error


def _has_ended(row: Row, job: Job, newest: date) -> bool:
    """Whether a date is not tried again. The newest one waits for its log, however often it failed to come."""
    waits = row["logical_date"] == newest and row["step"] == "import"
    failed = row["status"] == "failed" and row["attempts"] >= job.attempts and not waits
    return row["status"] in ledger.ENDED or failed


def _rests(row: Row, job: Job, now: datetime) -> bool:
    """Whether a failed date waits before it is tried again; a clock that was put back does not prolong that."""
    if row["status"] != "failed":
        return False
    return bool(row["finished_at"] <= now < row["finished_at"] + timedelta(seconds=job.retry_s))

"""The ledger of nights: one row per job and date, claimed by INSERT ... ON CONFLICT DO NOTHING, with a lease."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

from planner.errors import PlannerError
from planner.nightly.documents import LedgerRow, NightStep
from planner.store import Session, Store

ENDED = ("done", "skipped")


class LeaseLost(PlannerError):
    """Another process has taken the night over."""


@dataclass(frozen=True)
class Owner:
    """Who runs a night: a process on a host. started: distinguishes later processes with the same id."""

    host: str
    pid: int
    started: datetime

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started.isoformat(timespec='seconds')}"

    def is_on_host_of(self, owner: str) -> bool:
        """Whether an owner, as the ledger names it, is or was a process on the same host."""
        return owner.split(":")[0] == self.host


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A night claimed by this process. attempts: this one included. run_id: stored by an earlier attempt."""

    store: Store
    job: str
    day: date
    owner: str
    lease_s: int
    attempts: int
    run_id: str | None

    def begin_step(self, step: NightStep, now: datetime) -> None:
        """Note the step that begins and prolong the lease. Raises LeaseLost, StoreError."""
        lease_until = now + timedelta(seconds=self.lease_s)
        with self.store.write() as session:
            self.check(session)
            session.execute("job_run_step", job=self.job, logical_date=self.day, step=step, lease_until=lease_until)

    def note_run(self, session: Session, run_id: str) -> None:
        """Note the run, in the transaction that stores it."""
        session.execute("job_run_planned", job=self.job, logical_date=self.day, run_id=run_id)

    def end(
        self,
        status: Literal["done", "failed", "released"],
        exit_code: int | None,
        message: str,
        now: datetime,
        *,
        counts: bool = True,
    ) -> None:
        """End the attempt. counts: whether it is one of the job's attempts. Raises LeaseLost, StoreError."""
        with self.store.write() as session:
            self.check(session)
            session.execute(
                "job_run_end",
                job=self.job,
                logical_date=self.day,
                status=status,
                attempts=self.attempts if counts else self.attempts - 1,
                now=now,
                exit_code=exit_code,
                message=message,
            )

    def check(self, session: Session) -> None:
        """Raises LeaseLost if this process no longer holds the row."""
        row = find_row(session, self.job, self.day)
        if row is None or row.owner != self.owner or row.status != "running":
            raise LeaseLost(
                f"{self.job} of {self.day}: another scheduler has taken it over; raise lease_s in the jobs file if a "
                "step takes longer"
            )


def read_ledger(store: Store) -> list[LedgerRow]:
    """The whole ledger; empty if there is no store yet."""
    if not store.path.exists():
        return []
    with store.read() as session:
        return session.records("job_runs", LedgerRow)


def find_row(session: Session, job: str, day: date) -> LedgerRow | None:
    """The row of a date of a job, if it was ever claimed or skipped."""
    rows = session.records("job_run_of", LedgerRow, job=job, logical_date=day)
    return rows[0] if rows else None


def claim_date(store: Store, job: str, day: date, *, owner: Owner, lease_s: int, now: datetime) -> Claim | None:
    """Claim a date of a job; None if it has ended, or another host holds it and its lease has not expired.

    The caller holds the store's lock, so any other holder of the row on this host has exited.
    """
    with store.write() as session:
        row = find_row(session, job, day)
        if row is not None and not _is_free(row, owner, now):
            return None
        session.execute(
            "job_run_claim" if row is None else "job_run_take_over",
            job=job,
            logical_date=day,
            owner=str(owner),
            now=now,
            lease_until=now + timedelta(seconds=lease_s),
        )
        row = find_row(session, job, day)
        if row is None or row.owner != str(owner):
            return None
    return Claim(
        store=store,
        job=job,
        day=day,
        owner=str(owner),
        lease_s=lease_s,
        attempts=row.attempts,
        run_id=row.run_id,
    )


def skip_dates(store: Store, job: str, days: Sequence[date], *, owner: Owner, now: datetime, message: str) -> None:
    """Mark dates that are not caught up as skipped."""
    with store.write() as session:
        for day in days:
            session.execute("job_run_skip", job=job, logical_date=day, owner=str(owner), now=now, message=message)


def mark_announced(store: Store, row: LedgerRow, now: datetime) -> None:
    """Note that the notifications of how a night ended have arrived."""
    with store.write() as session:
        session.execute("job_run_announced", job=row.job, logical_date=row.logical_date, now=now)


def ended_ahead_of_time(row: LedgerRow, now: datetime) -> bool:
    """Whether a date was skipped or failed by a clock that ran ahead and has been put back since."""
    return row.status in ("skipped", "failed") and row.finished_at is not None and row.finished_at > now


def _is_free(row: LedgerRow, owner: Owner, now: datetime) -> bool:
    """Whether an attempt may begin: nobody holds the row, its holder was on this host, or its lease has expired."""
    if row.status in ENDED and not ended_ahead_of_time(row, now):
        return False
    return row.status != "running" or owner.is_on_host_of(row.owner) or row.lease_until <= now

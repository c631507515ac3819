"""The ledger of nights: one row per job and date, claimed by INSERT ... ON CONFLICT DO NOTHING, with a lease."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from planner.errors import PlannerError
from planner.store import Session, Store

ENDED = ("done", "skipped")
RELEASED = "released"

Row = dict[str, Any]


class LeaseLost(PlannerError):
    """Another process has taken the night over."""


@dataclass(frozen=True)
class Owner:
    """Who runs a night: a process on a host. started: so that a later process of the same number is another."""

    host: str
    pid: int
    started: datetime

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}:{self.started.isoformat(timespec='seconds')}"


@dataclass(frozen=True)
class Claim:
    """A night that is ours. attempts: this one included. run_id: what an earlier attempt has stored."""

    store: Store
    job: str
    day: date
    owner: str
    lease_s: int
    attempts: int
    run_id: str | None

    def step(self, name: str, now: datetime) -> None:
        """Note the step that begins and prolong the lease. Raises LeaseLost, StoreError."""
        with self.store.write() as session:
            self.check(session)
            session.execute("job_run_step", **self._key, step=name, lease_until=now + timedelta(seconds=self.lease_s))

    def planned(self, session: Session, run_id: str) -> None:
        """Note the run, in the transaction that stores it."""
        session.execute("job_run_planned", **self._key, run_id=run_id)

    def end(self, status: str, exit_code: int | None, message: str, now: datetime, *, uncounted: int = 0) -> None:
        """End the attempt: done, failed or released. uncounted: 1 where it is not to count as an attempt.

        Raises LeaseLost, StoreError.
        """
        with self.store.write() as session:
            self.check(session)
            session.execute(
                "job_run_end",
                **self._key,
                status=status,
                attempts=self.attempts - uncounted,
                now=now,
                exit_code=exit_code,
                message=message,
            )

    def check(self, session: Session) -> None:
        """Raises LeaseLost where the row is no longer ours."""
        rows = session.rows("job_run_of", **self._key)
        if not rows or rows[0]["owner"] != self.owner or rows[0]["status"] != "running":
            raise LeaseLost(
                f"{self.job} of {self.day}: another scheduler has taken it over; raise lease_s in the jobs file if a "
                "step takes longer"
            )

    @property
    def _key(self) -> dict[str, object]:
        return {"job": self.job, "logical_date": self.day}


def rows(store: Store) -> list[Row]:
    """The whole ledger; empty where there is no store yet."""
    if not store.path.exists():
        return []
    with store.read() as session:
        return session.rows("job_runs")


def claim(store: Store, job: str, day: date, owner: Owner, lease_s: int, now: datetime) -> Claim | None:
    """Take a date of a job; None where it has ended, or another host has it and its lease has not run out.

    The caller holds the store's lock, so whoever has the row on this host is gone.
    """
    key: dict[str, object] = {"job": job, "logical_date": day}
    terms = {"owner": str(owner), "now": now, "lease_until": now + timedelta(seconds=lease_s)}
    with store.write() as session:
        there = session.rows("job_run_of", **key)
        if not there:
            session.execute("job_run_claim", **key, **terms)
        elif not _free(there[0], owner, now):
            return None
        else:
            session.execute("job_run_take_over", **key, **terms)
        (row,) = session.rows("job_run_of", **key)
        if row["owner"] != str(owner):
            return None
    return Claim(store, job, day, str(owner), lease_s, int(row["attempts"]), row["run_id"])


def skip(store: Store, job: str, days: tuple[date, ...], owner: Owner, now: datetime, message: str) -> None:
    """Note dates that are not caught up."""
    with store.write() as session:
        for day in days:
            session.execute("job_run_skip", job=job, logical_date=day, owner=str(owner), now=now, message=message)


def announced(store: Store, row: Row, now: datetime) -> None:
    """Note that the outcome of a night was published and told."""
    with store.write() as session:
        session.execute("job_run_announced", job=row["job"], logical_date=row["logical_date"], now=now)


def too_early(row: Row, now: datetime) -> bool:
    """Whether a date was skipped or failed by a clock that ran ahead and has been put back since."""
    return row["status"] in ("skipped", "failed") and bool(row["finished_at"] > now)


def _free(row: Row, owner: Owner, now: datetime) -> bool:
    """Whether an attempt may begin: nobody has the row, its host was ours, or its lease has run out."""
    if row["status"] in ENDED and not too_early(row, now):
        return False
    return row["status"] != "running" or str(row["owner"]).split(":")[0] == owner.host or row["lease_until"] <= now

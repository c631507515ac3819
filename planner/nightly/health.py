"""The state of the service, for /healthz and /metrics."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from planner.nightly.documents import HealthDocument, LedgerRow, PlannedUnitsDocument
from planner.nightly.past_days import PastDay
from planner.nightly.planned_units import PlannedUnits

_SILENCE_S = 300
"""Without a check of the ledger for so long, the service is not healthy; it checks every minute, and a night in
progress counts as a check. Assumed."""


@dataclass(kw_only=True)
class Health:
    """The state of the service, shared between threads; hold the lock to read or change several values.

    looked_at: when it last looked for dates that are due. busy: whether a night is being run. reason: why the last look
    failed; empty if it succeeded. failed: nights that failed, as `failed_nights` tells them. rows: the ledger.
    newest_days: the newest compared day of each job. planned: units by job, the newest plan first. errors: looks that
    failed. waiting: notifications that have not arrived; unsent: attempts to send one that failed. dropped: connections
    that ended before they were answered.
    """

    started_at: datetime
    looked_at: datetime
    busy: bool = False
    reason: str = ""
    failed: str = ""
    rows: Sequence[LedgerRow] = ()
    newest_days: Sequence[PastDay] = ()
    planned: Mapping[str, Sequence[PlannedUnits]] = field(default_factory=dict)
    errors: int = 0
    waiting: int = 0
    unsent: int = 0
    dropped: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin_check(self, now: datetime) -> None:
        """Note that a look begins."""
        with self.lock:
            self.busy, self.looked_at = True, now

    def end_check(self, now: datetime, reason: str) -> None:
        """Note that a look has ended. reason: why it failed; empty if it succeeded."""
        with self.lock:
            self.busy, self.looked_at, self.reason = False, now, reason
            self.errors += bool(reason)

    def refresh(
        self,
        rows: Sequence[LedgerRow],
        newest_days: Sequence[PastDay],
        planned: Mapping[str, Sequence[PlannedUnits]],
        failed: str,
    ) -> None:
        """Replace the copy of the ledger, of the newest compared days and of the plans, and what is said of nights."""
        with self.lock:
            self.rows, self.newest_days, self.planned, self.failed = rows, newest_days, planned, failed

    def count_notifications(self, waiting: int, unsent: int) -> None:
        """Note how many notifications have not arrived, and how many attempts failed."""
        with self.lock:
            self.waiting, self.unsent = waiting, unsent

    def count_dropped(self) -> None:
        """Note a connection that ended before it was answered."""
        with self.lock:
            self.dropped += 1

    def document(self, now: datetime) -> HealthDocument:
        """Whether the service is healthy, and why not."""
        silent_s = (now - self.looked_at).total_seconds()
        reason = self.reason or self.failed
        if not self.busy and silent_s > _SILENCE_S:
            reason = f"it has not looked for dates that are due since {self.looked_at.isoformat(timespec='seconds')}"
        return HealthDocument(ok=not reason, reason=reason, busy=self.busy, looked_at=self.looked_at)

    def planned_units(self, now: datetime) -> PlannedUnitsDocument:
        """The units of every job's plan at a moment: those of the newest plan that is about it."""
        found = {
            job: next((units for plan in plans if (units := plan.at(now))), None) for job, plans in self.planned.items()
        }
        return PlannedUnitsDocument(at=now, jobs={job: units for job, units in found.items() if units is not None})


def failed_nights(rows: Sequence[LedgerRow], jobs: Sequence[str], waits: Callable[[LedgerRow], bool]) -> str:
    """Nights that failed since the last one of their job that was done; empty for none.

    rows: the ledger, in order of date. jobs: those that are still there. waits: whether a failed night only waits for
    its log.
    """
    newest = dict[str, LedgerRow]()
    for row in rows:
        if row.job in jobs and (row.status == "done" or (row.status == "failed" and not waits(row))):
            newest[row.job] = row
    failed = [row for row in newest.values() if row.status == "failed"]
    return "; ".join(f"{row.job} of {row.logical_date}: {row.message}" for row in failed)

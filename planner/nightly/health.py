"""The state of the service, for /healthz and /metrics."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from planner.nightly.documents import HealthDocument, LedgerRow
from planner.nightly.past_days import PastDay

_SILENCE_S = 300
"""Without a check of the ledger for so long, the service is not healthy; it checks every minute, and a night in
progress counts as a check. Assumed."""


@dataclass(kw_only=True)
class Health:
    """The state of the service, shared between threads; hold the lock to read or change several values.

    looked_at: when it last looked for dates that are due. busy: whether a night is being run. rows: the ledger.
    newest_days: the newest compared day of each job. errors: checks of the ledger that failed.
    """

    started_at: datetime
    looked_at: datetime
    busy: bool = False
    rows: Sequence[LedgerRow] = ()
    newest_days: Sequence[PastDay] = ()
    errors: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin_check(self, now: datetime) -> None:
        """Note that a check of the ledger begins."""
        with self.lock:
            self.busy, self.looked_at = True, now

    def end_check(self, now: datetime) -> None:
        """Note that a check has ended, successfully or not."""
        with self.lock:
            self.busy, self.looked_at = False, now

    def count_error(self) -> None:
        """Note a check that ended in an error."""
        with self.lock:
            self.errors += 1

    def refresh(self, rows: Sequence[LedgerRow], newest_days: Sequence[PastDay]) -> None:
        """Replace the copy of the ledger and of the newest compared days."""
        with self.lock:
            self.rows, self.newest_days = rows, newest_days

    def document(self, now: datetime) -> HealthDocument:
        """Whether the service is healthy, and why."""
        silent_s = (now - self.looked_at).total_seconds()
        return HealthDocument(ok=self.busy or silent_s <= _SILENCE_S, busy=self.busy, looked_at=self.looked_at)

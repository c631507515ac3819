"""What the service knows of itself."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from planner.nightly.documents import HealthDocument, LedgerRow
from planner.nightly.past_days import PastDay

_SILENCE_S = 300
"""Without a look at the ledger for so long, the service is not healthy; it looks every minute, and a night in progress
counts as looking. Assumed."""


@dataclass(kw_only=True)
class Health:
    """What the service knows of itself, from one thread to another; hold the lock to read or change several values.

    looked_at: when it last looked for dates that are due. busy: whether a night is being run. rows: the ledger.
    newest_days: the newest compared day of each job. errors: looks that ended in one.
    """

    started_at: datetime
    looked_at: datetime
    busy: bool = False
    rows: Sequence[LedgerRow] = ()
    newest_days: Sequence[PastDay] = ()
    errors: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin_look(self, now: datetime) -> None:
        """Note that a look at the ledger begins."""
        with self.lock:
            self.busy, self.looked_at = True, now

    def end_look(self, now: datetime) -> None:
        """Note that a look has ended, however it did."""
        with self.lock:
            self.busy, self.looked_at = False, now

    def count_error(self) -> None:
        """Note a look that ended in an error."""
        with self.lock:
            self.errors += 1

    def refresh(self, rows: Sequence[LedgerRow], newest_days: Sequence[PastDay]) -> None:
        """Put what the ledger says in the place of what it said before."""
        with self.lock:
            self.rows, self.newest_days = rows, newest_days

    def document(self, now: datetime) -> HealthDocument:
        """Whether the service is well, and why."""
        silent_s = (now - self.looked_at).total_seconds()
        return HealthDocument(ok=self.busy or silent_s <= _SILENCE_S, busy=self.busy, looked_at=self.looked_at)

"""Which dates of a job are due, by the local clock. Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)

Now = Callable[[], datetime]
"""The wall clock, or one that a test sets; with offset."""


@dataclass(frozen=True)
class DueDates:
    """Dates that are due and have not ended, in order, and those too long ago to be caught up."""

    due: tuple[date, ...]
    skipped: tuple[date, ...]


def due_at(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The one moment, UTC, from which a date is due.

    A time that occurs twice is the first one. One that the clock skips is as long after the jump as it would have been
    after the start of the skipped hour.
    """
    return datetime.combine(day, at, zone).replace(fold=0).astimezone(UTC)


def latest_due(now: datetime, at: time, zone: ZoneInfo) -> date:
    """The newest date that is due."""
    day = now.astimezone(zone).date()
    return day if due_at(day, at, zone) <= now else day - ONE_DAY


def next_due_at(now: datetime, at: time, zone: ZoneInfo, first: date | None = None) -> datetime:
    """The next moment after now at which a date becomes due, UTC. first: where a job begins, if it says so."""
    day = latest_due(now, at, zone) + ONE_DAY
    return due_at(day if first is None else max(day, first), at, zone)


def due_dates(
    newest: date, first: date | None, begun: Collection[date], ended: Collection[date], catch_up_days: int
) -> DueDates:
    """Dates up to the newest due one that have not ended.

    first: where a job begins, if it says so. begun: dates in the ledger; ended: those done, skipped or given up.
    Without either, only the newest.
    """
    begin = first or min(begun, default=newest)
    oldest = newest - (catch_up_days - 1) * ONE_DAY
    days = [begin + count * ONE_DAY for count in range((newest - begin).days + 1)]
    pending = [day for day in days if day not in ended]
    return DueDates(tuple(day for day in pending if day >= oldest), tuple(day for day in pending if day < oldest))

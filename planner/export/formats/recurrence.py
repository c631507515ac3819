"""From a plan's dates to a schedule that recurs daily or weekly by the local clock. Pure.

Days count from Monday, 0. A clock that is put forward skips wall-clock times, one that is put back repeats some.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache

import numpy as np

from planner.core.demand import Grid
from planner.errors import RunError
from planner.units import S_PER_DAY, US_PER_S, Ints, from_us, to_us

MINUTES_PER_DAY = 1440
DAYS = 7
_WEEK = DAYS * MINUTES_PER_DAY
_EPOCH_DAY = 3
"""1970-01-01 was a Thursday."""
_YEAR_US = 366 * S_PER_DAY * US_PER_S
_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NONE = np.iinfo(np.int64).min
"""The level of a minute that the plan does not cover."""


@dataclass(frozen=True)
class Jump:
    """A moment at which a zone's clock is put forward or back. Offsets from UTC in seconds, before and after."""

    at_us: int
    before_s: int
    after_s: int

    @property
    def skips(self) -> bool:
        return self.after_s > self.before_s

    @property
    def wall_minutes(self) -> tuple[int, int]:
        """The wall-clock times that are skipped or repeated, [first, last) in minutes since 1970-01-01."""
        low, high = sorted((self.before_s, self.after_s))
        at_s = self.at_us // US_PER_S
        return (at_s + low) // 60, -(-(at_s + high) // 60)

    @property
    def minutes_of_day(self) -> set[int]:
        """The same as minutes of the local day."""
        first, last = self.wall_minutes
        return {minute % MINUTES_PER_DAY for minute in range(first, last)}


@dataclass(frozen=True)
class Pattern:
    """Units at every minute of a local day, (1440,), or of a local week from Monday 00:00, (10080,)."""

    levels: Ints

    @property
    def daily(self) -> bool:
        return len(self.levels) == MINUTES_PER_DAY

    @property
    def changes(self) -> list[int]:
        """Minutes whose units differ from the minute before, wrapping around the day or week."""
        return [int(minute) for minute in np.flatnonzero(self.levels != np.roll(self.levels, 1))]


@dataclass(frozen=True)
class Moment:
    """A minute of the local day, on certain days; None for every day."""

    minute: int
    days: tuple[int, ...] | None

    @property
    def cron(self) -> str:
        """Minute, hour, day of month, month and day of week, with Sunday 0 and ranges of days, such as 1-5."""
        days = "*" if self.days is None else name_days(((day + 1) % DAYS for day in self.days), "0123456")
        return f"{self.minute % 60} {self.minute // 60} * * {days}"


@dataclass(frozen=True)
class RecurringStep:
    """Units from a moment on, until the next step."""

    at: Moment
    units: int


@dataclass(frozen=True)
class RecurringWindow:
    """Units from a moment up to another, which is so many days later."""

    start: Moment
    end: Moment
    units: int
    days_later: int = 0


def name_days(days: Iterable[int], names: Sequence[str], *, pairs: bool = False) -> str:
    """Days as a list with ranges, such as MON-FRI. pairs: a range also of two days, where a comma is not wanted."""
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and day == runs[-1][-1] + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    least = 2 if pairs else 3
    parts = [
        [f"{names[run[0]]}-{names[run[-1]]}"] if len(run) >= least else [names[day] for day in run] for run in runs
    ]
    return ",".join(part for found in parts for part in found)


def find_jumps(zone: tzinfo, start_us: int, end_us: int) -> list[Jump]:
    """Every change of a zone's offset in [start_us, end_us), to the second."""
    return list(_jumps(zone, start_us, end_us))


@lru_cache(maxsize=64)
def _jumps(zone: tzinfo, start_us: int, end_us: int) -> tuple[Jump, ...]:
    changes, day_us = [], S_PER_DAY * US_PER_S
    for low in range(start_us, end_us, day_us):
        high = min(low + day_us, end_us)
        before, after = _offset_s(low - US_PER_S, zone), _offset_s(high - US_PER_S, zone)
        if before == after:
            continue
        # the last second with the old offset is in [first, last)
        first, last = low // US_PER_S - 1, high // US_PER_S - 1
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (middle, last) if _offset_s(middle * US_PER_S, zone) == before else (first, middle)
        changes.append(Jump(last * US_PER_S, before, after))
    return tuple(changes)


def find_jumps_in_year(zone: tzinfo, start_us: int) -> list[Jump]:
    """The changes of a zone's offset in the year from a moment on."""
    return find_jumps(zone, start_us, start_us + _YEAR_US)


def pattern_of(grid: Grid, units: Ints, zone: tzinfo, what: str) -> Pattern:
    """The daily pattern of a plan, or else the weekly one, which gives its units at every minute of it.

    units: per interval. what: of what they are, such as "prefill units". Raises RunError if the plan has no such
    pattern, or does not cover it.
    """
    inside = find_jumps(zone, grid.start_us, grid.end_us)
    wall, values = wall_minutes(grid, zone), np.repeat(units, grid.interval_s // 60)
    daily, differs = _fold(wall, values, MINUTES_PER_DAY)
    if differs is None:
        missing = _fill(daily, inside)
        if missing:
            raise RunError(
                f"the plan covers {(MINUTES_PER_DAY - missing) / 60:g} of the 24 hours of a day and a recurring "
                "schedule needs all of them; plan whole days, or export --to csv or json"
            )
        return Pattern(daily)
    weekly, clash = _fold(week_minutes(wall), values, _WEEK)
    missing = _fill(weekly, inside)
    if clash is not None:
        raise RunError(
            f"{what} at {_clock(clash)} on {_NAMES[clash // MINUTES_PER_DAY]} differ from week to week, or when "
            f"the clock is put back, so no weekly schedule can express them; {_cures(grid, zone, missing)}"
        )
    if missing:
        raise RunError(
            f"{what} at {_clock(differs)} differ from day to day, and the plan covers "
            f"{(_WEEK - missing) / MINUTES_PER_DAY:.3g} of the 7 days of a week; {_cures(grid, zone, missing)}"
        )
    return Pattern(weekly)


def typical_week(grid: Grid, units: Ints, zone: tzinfo, quantile: float) -> Pattern:
    """One week of a plan of any length: at every minute of it, a quantile of the units that the plan has there.

    quantile: 1 for the largest; the least of the units that at least this share of them do not exceed. Minutes that a
    clock skips count where another week has them. Raises RunError that names what the plan leaves out of a week.
    """
    index = week_minutes(wall_minutes(grid, zone)) % _WEEK
    values = np.repeat(units, grid.interval_s // 60)
    order = np.lexsort((values, index))
    count = np.bincount(index, minlength=_WEEK)
    # the tolerance keeps 0.9 of 10 values at the ninth of them
    rank = np.maximum(np.ceil(quantile * count - 1e-9).astype(np.int64), 1)
    last = np.cumsum(count)
    place = np.minimum(last - count + rank - 1, len(values) - 1)
    levels = np.where(count > 0, values[order][place], _NONE)
    if _fill(levels, find_jumps(zone, grid.start_us, grid.end_us)):
        raise RunError(
            f"the plan leaves out {_uncovered(levels)} by the clock of {zone}, and a typical week needs every weekday; "
            f"{_without_week(grid, zone)}"
        )
    days = levels.reshape(DAYS, MINUTES_PER_DAY)
    return Pattern(days[0] if (days == days[0]).all() else levels)


def whole_day(grid: Grid, zone: tzinfo) -> date | None:
    """The first date whose 24 hours, from the time of day at which a plan begins, recur daily; None if there is none.

    The plan covers them and the clock is not changed in them, so that no minute of the day is there twice or never.
    """
    first = from_us(grid.start_us, zone)
    for number in range(grid.length_s // S_PER_DAY):
        day = first.date() + timedelta(days=number)
        bounds = (to_us(datetime.combine(day + timedelta(days=more), first.time(), zone)) for more in (0, 1))
        low, high = (max(-((grid.start_us - at_us) // grid.interval_us), 0) for at_us in bounds)
        part = Grid(grid.start_us + low * grid.interval_us, grid.interval_s, high - low)
        if high <= grid.count and part.length_s == S_PER_DAY and not find_jumps(zone, part.start_us, part.end_us):
            return day
    return None


def _cures(grid: Grid, zone: tzinfo, missing: int) -> str:
    """What can be done with a plan that does not recur. missing: minutes of a week that it leaves out."""
    day = whole_day(grid, zone)
    cures = [
        "plan more days (trace.days, or a longer trace) and take a typical week with --week largest"
        if missing
        else "take a typical week of the plan with --week largest",
        *(() if day is None else (f"take one day with --day {day}",)),
        "or export --to csv or json",
    ]
    return ", ".join(cures)


def _without_week(grid: Grid, zone: tzinfo) -> str:
    """What can be done with a plan that has no typical week."""
    more, day = "plan more days (trace.days, or a longer trace)", whole_day(grid, zone)
    if day is None:
        return more
    alone = (
        ": the plan of one day recurs daily" if grid.length_s == S_PER_DAY else f" and take one day with --day {day}"
    )
    return f"{more}, or leave out --week{alone}"


def wall_minutes(grid: Grid, zone: tzinfo) -> Ints:
    """Wall-clock minutes since 1970-01-01 of every minute of the plan. Raises RunError where they are not whole."""
    return _wall_minutes(grid, zone, find_jumps(zone, grid.start_us, grid.end_us))


def week_minutes(wall: Ints) -> Ints:
    """Wall-clock minutes counted from a Monday instead."""
    return wall + _EPOCH_DAY * MINUTES_PER_DAY


def minute_of_day(at_us: int, zone: tzinfo) -> int:
    """The minute of the local day at a moment."""
    at = from_us(at_us, zone)
    return at.hour * 60 + at.minute


def recurring_steps(pattern: Pattern, over: Iterable[Jump] = (), begin: int | None = None) -> list[RecurringStep]:
    """A pattern as steps that hold until the next, in order of minute; one at midnight where it never changes.

    begin: a minute of the day at which units are set though they may not change, so that what an earlier schedule left
    does not last.
    over: where the clock skips or repeats a change, its units are set again at the end of what is skipped, and at the
    start of what is repeated, so that they hold on such days too.
    """
    changing = {minute % MINUTES_PER_DAY for minute in pattern.changes}
    again = set() if begin is None else {begin}
    for jump in over:
        first, last = (minute % MINUTES_PER_DAY for minute in jump.wall_minutes)
        if changing & jump.minutes_of_day:
            again.add(last if jump.skips else first)
    days = range(0, len(pattern.levels), MINUTES_PER_DAY)
    minutes = {*pattern.changes, *(day + minute for day in days for minute in again)} or {0}
    grouped: dict[tuple[int, int], list[int]] = {}
    for minute in sorted(minutes):
        key = minute % MINUTES_PER_DAY, int(pattern.levels[minute])
        grouped.setdefault(key, []).append(minute // MINUTES_PER_DAY)
    return [RecurringStep(Moment(minute, _days(on, pattern)), units) for (minute, units), on in sorted(grouped.items())]


def recurring_windows(pattern: Pattern, floor: int, unsafe: Set[int] = frozenset()) -> list[RecurringWindow]:
    """A pattern as windows above the floor, one inside the other: at any minute, the most of those that are open.

    A window of fewer units stays open beneath those of more, so that where the units change no moment is left at which
    less is open than before and after it. unsafe: minutes of the day that a clock skips or repeats; a window that ends
    there is cut in two before them, because all of it would stay closed where its end is skipped.
    """
    grouped: dict[tuple[int, int, int], list[int]] = {}
    for start, end, units in _nested(np.maximum(pattern.levels, floor), floor):
        for first, last in _cut(start, end, unsafe):
            place = first % len(pattern.levels)
            grouped.setdefault((place % MINUTES_PER_DAY, last - first, units), []).append(place // MINUTES_PER_DAY)
    windows = []
    for (start, length, units), days in sorted(grouped.items()):
        later, end = divmod(start + length, MINUTES_PER_DAY)
        ends = [(day + later) % DAYS for day in days]
        moments = Moment(start, _days(days, pattern)), Moment(end, _days(ends, pattern))
        windows.append(RecurringWindow(*moments, units, later))
    return windows


def _cut(start: int, end: int, unsafe: Set[int]) -> Iterator[tuple[int, int]]:
    """The parts of a window, which overlap by a minute: what ends at an unsafe minute is short."""
    cut = end
    while end % MINUTES_PER_DAY in unsafe and {cut % MINUTES_PER_DAY, (cut + 1) % MINUTES_PER_DAY} & unsafe:
        cut -= 1
    if start < cut < end:
        yield start, cut + 1
        yield cut, end
    else:
        yield start, end


def _nested(levels: Ints, floor: int) -> Iterator[tuple[int, int, int]]:
    """Windows as start, end and units, by the minutes of the pattern; ends may lie beyond it.

    The pattern is at the floor at some minute. Each window is as long as the units do not fall below its own.
    """
    size = len(levels)
    first = int(np.flatnonzero(levels == floor)[0]) if (levels == floor).any() else 0
    rolled = np.roll(levels, -first).tolist()
    opened: list[tuple[int, int]] = []
    before = floor
    for minute, units in enumerate([*rolled, floor]):
        start = minute
        while opened and opened[-1][1] > units:
            start, level = opened.pop()
            yield (first + start) % size, (first + start) % size + minute - start, level
        if units > floor and units != before and (not opened or opened[-1][1] < units):
            opened.append((start, units))
        before = units


def _days(days: Sequence[int], pattern: Pattern) -> tuple[int, ...] | None:
    return None if pattern.daily or len(days) == DAYS else tuple(sorted(days))


def _offset_s(at_us: int, zone: tzinfo) -> int:
    offset = from_us(at_us, zone).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _wall_minutes(grid: Grid, zone: tzinfo, inside: Sequence[Jump]) -> Ints:
    """Wall-clock minutes since 1970-01-01 of every minute of the plan."""
    at_s = grid.start_us // US_PER_S + 60 * np.arange(grid.length_s // 60, dtype=np.int64)
    offset_s = np.full(len(at_s), _offset_s(grid.start_us, zone), np.int64)
    for jump in inside:
        offset_s[at_s * US_PER_S >= jump.at_us] = jump.after_s
    wall_s: Ints = at_s + offset_s
    if (wall_s % 60).any():
        raise RunError(
            f"intervals do not begin on whole minutes of {zone}, which schedules need; "
            "set another timezone and plan again"
        )
    minutes: Ints = wall_s // 60
    return minutes


def _fold(wall: Ints, values: Ints, size: int) -> tuple[Ints, int | None]:
    """Values by wall-clock minute modulo size, _NONE where there is none, and the first minute that has two values."""
    index = wall % size
    low, high = np.full(size, np.iinfo(np.int64).max), np.full(size, _NONE, np.int64)
    np.minimum.at(low, index, values)
    np.maximum.at(high, index, values)
    clash = np.flatnonzero((high != _NONE) & (low < high))
    return high, int(clash[0]) if len(clash) else None


def _fill(levels: Ints, inside: Sequence[Jump]) -> int:
    """Fill minutes that the clock skipped with the units before them, in place; returns how many minutes have none."""
    skipped = {minute for jump in inside if jump.skips for minute in range(*jump.wall_minutes)}
    shift = 0 if len(levels) == MINUTES_PER_DAY else _EPOCH_DAY * MINUTES_PER_DAY
    for minute in sorted(skipped):
        index = (minute + shift) % len(levels)
        if levels[index] == _NONE:
            levels[index] = levels[index - 1]
    return int((levels == _NONE).sum())


def _uncovered(levels: Ints) -> str:
    """The minutes of a week that have no level, in words: whole days by name, parts of days with their hours."""
    parts = []
    for name, day in zip(_NAMES, levels.reshape(DAYS, MINUTES_PER_DAY), strict=True):
        missing = np.flatnonzero(day == _NONE)
        if len(missing) == MINUTES_PER_DAY:
            parts.append(name)
        elif len(missing):
            edges = np.flatnonzero(np.diff(missing) > 1)
            starts, ends = missing[[0, *(edges + 1)]], missing[[*edges, len(missing) - 1]] + 1
            hours = (f"{_clock(int(a))}-{_end(int(b))}" for a, b in zip(starts, ends, strict=True))
            parts.append(f"{name} {' and '.join(hours)}")
    return ", ".join(parts)


def _clock(minute: int) -> str:
    return f"{minute % MINUTES_PER_DAY // 60:02d}:{minute % 60:02d}"


def _end(minute: int) -> str:
    return "24:00" if minute == MINUTES_PER_DAY else _clock(minute)

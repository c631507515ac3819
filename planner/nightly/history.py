"""The history of a job's days: what forecasts are made from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.forecast.history import COUNTED
from planner.core.forecast.past import Mask
from planner.nightly.local_days import day_demand, day_us, silences
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.units import S_PER_DAY, S_PER_HOUR, S_PER_MINUTE, US_PER_S, Ints

MOST_GAP_DAYS = 3
"""Most consecutive days without a log within a history; a longer gap ends it. Assumed: a long weekend."""
_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class DayHistory:
    """Days that follow each other, as one demand.

    first, last: its days. unknown: intervals without a log, or of a silence that is too long to be demand. missing:
    days without a log. silent: days with such a silence.
    """

    demand: Demand
    unknown: Mask
    first: date
    last: date
    missing: tuple[date, ...]
    silent: tuple[date, ...]

    @property
    def days(self) -> int:
        """Days, those without a log too."""
        return (self.last - self.first).days + 1


def read_history(
    session: Session, traces: Mapping[date, str], last: date, scenario: Scenario, longest_silence_s: int = S_PER_DAY
) -> DayHistory:
    """The days up to `last` that follow each other, with gaps of a few days. traces: by day, of one of them at least.

    The newest days may have no log: those were declared to tell nothing.

    A time without requests for longer than longest_silence_s is unknown, unless the scenario says that it is real, or
    it repeats at its time on three days running or a week later: what a log lacks is not zero demand. Raises
    TraceError.
    """
    days = _until_long_gap(traces, max(day for day in traces if day <= last))
    first, interval_us = days[-1], scenario.interval_s * US_PER_S
    start_us, end_us = day_us(first, scenario)[0], day_us(last, scenario)[1]
    grid = Grid(start_us, scenario.interval_s, (end_us - start_us) // interval_us)
    columns = {name: np.zeros(grid.count, np.int64) for name in COUNTED}
    unknown, silent = np.ones(grid.count, np.bool_), {}
    for day in reversed(days):
        demand = day_demand(session, traces[day], day, scenario)
        begin = (demand.grid.start_us - start_us) // interval_us
        there = slice(begin, begin + demand.grid.count)
        for name, values in columns.items():
            values[there] = getattr(demand, name)
        unknown[there] = False
        silent[day] = _Silence(there, silences(demand, longest_silence_s, scenario), _clock_slots(demand, scenario))
    missing = _without_repeated(silent, S_PER_DAY // scenario.interval_s)
    for day, gaps in missing.items():
        unknown[silent[day].there] = gaps
    every = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return DayHistory(
        demand=Demand(grid=grid, **columns),
        unknown=unknown,
        first=first,
        last=last,
        missing=tuple(day for day in every if day not in days),
        silent=tuple(day for day, gaps in missing.items() if gaps.any()),
    )


class _Silence(NamedTuple):
    """Where a day lies in the history, which of its intervals are silent, and what slot of the clock each has."""

    there: slice
    gaps: Mask
    slots: Ints


def _clock_slots(demand: Demand, scenario: Scenario) -> Ints:
    starts = demand.grid.local_starts(scenario.zone)
    return np.array(
        [(at.hour * S_PER_HOUR + at.minute * S_PER_MINUTE) // scenario.interval_s for at in starts], np.int64
    )


def _without_repeated(silent: Mapping[date, _Silence], slots: int) -> dict[date, Mask]:
    """Silences less what repeats at its time on three days running, or on the same weekday of two weeks.

    silent: by day, in order. slots: of a day. Days without a log between others are passed over.
    """
    # an hour that the clock skips breaks no repetition
    by_slot = np.ones((len(silent), slots), np.bool_)
    for row, one in zip(by_slot, silent.values(), strict=True):
        row[one.slots] = one.gaps
    real = np.zeros_like(by_slot)
    for first in range(len(silent) - 2):
        real[first : first + 3] |= by_slot[first : first + 3].all(axis=0)
    rows = {day: row for row, day in enumerate(silent)}
    for day, earlier in rows.items():
        if (later := rows.get(day + _WEEK)) is not None:
            real[[earlier, later]] |= by_slot[earlier] & by_slot[later]
    return {day: one.gaps & ~real[rows[day], one.slots] for day, one in silent.items()}


def _until_long_gap(days: Collection[date], last: date) -> list[date]:
    """The days up to `last`, newest first, to the first gap that is too long."""
    chosen = [last]
    for day in sorted((day for day in days if day < last), reverse=True):
        if (chosen[-1] - day).days > MOST_GAP_DAYS + 1:
            break
        chosen.append(day)
    return chosen

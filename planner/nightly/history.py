"""The history of a job's days: what forecasts are made from."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.forecast.history import COUNTED
from planner.core.forecast.past import Mask
from planner.nightly.local_days import day_demand, day_us, silences
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.units import S_PER_DAY, US_PER_S

_MOST_GAP_DAYS = 3
"""Most consecutive days without a log within a history; a longer gap ends it. Assumed: a long weekend."""


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

    A time without requests for longer than longest_silence_s is unknown, unless the scenario says that it is real: what
    a log lacks is not zero demand. Raises TraceError.
    """
    days = _until_long_gap(traces, max(day for day in traces if day <= last))
    first, interval_us = days[-1], scenario.interval_s * US_PER_S
    start_us, end_us = day_us(first, scenario)[0], day_us(last, scenario)[1]
    grid = Grid(start_us, scenario.interval_s, (end_us - start_us) // interval_us)
    columns = {name: np.zeros(grid.count, np.int64) for name in COUNTED}
    unknown, silent = np.ones(grid.count, np.bool_), []
    for day in reversed(days):
        demand = day_demand(session, traces[day], day, scenario)
        begin = (demand.grid.start_us - start_us) // interval_us
        there = slice(begin, begin + demand.grid.count)
        for name, values in columns.items():
            values[there] = getattr(demand, name)
        gaps = silences(demand, longest_silence_s, scenario)
        unknown[there] = gaps
        if gaps.any():
            silent.append(day)
    every = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return DayHistory(
        demand=Demand(grid=grid, **columns),
        unknown=unknown,
        first=first,
        last=last,
        missing=tuple(day for day in every if day not in days),
        silent=tuple(silent),
    )


def _until_long_gap(days: Collection[date], last: date) -> list[date]:
    """The days up to `last`, newest first, to the first gap that is too long."""
    chosen = [last]
    for day in sorted((day for day in days if day < last), reverse=True):
        if (chosen[-1] - day).days > _MOST_GAP_DAYS + 1:
            break
        chosen.append(day)
    return chosen

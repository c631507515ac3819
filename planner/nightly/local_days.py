"""Local days: where they begin and end, and the demand in their logs."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import numpy as np

from planner.core.demand import Demand
from planner.core.forecast.past import Mask
from planner.core.forecast.tracking import runs
from planner.errors import UsageError
from planner.planning.declared import declared_of
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.trace import stored as stored_traces
from planner.trace.demand import binned
from planner.units import S_PER_HOUR, to_us


def day_us(day: date, scenario: Scenario) -> tuple[int, int]:
    """Start and end of a local day, UTC epoch microseconds; 23 or 25 hours where the clock changes."""
    begin, end = (datetime.combine(at, time(), scenario.zone) for at in (day, day + timedelta(days=1)))
    return to_us(begin), to_us(end)


def check_intervals(scenario: Scenario) -> None:
    """Raises UsageError if days do not begin on interval boundaries."""
    if S_PER_HOUR % scenario.interval_s:
        raise UsageError(
            f"interval_s={scenario.interval_s} does not divide an hour, but days of 23 and 25 hours must be whole "
            "numbers of intervals; use for example interval_s=900"
        )


def silences(demand: Demand, longest_s: int, scenario: Scenario) -> Mask:
    """Intervals of times without a request that are longer than longest_s, and that the scenario does not expect.

    It expects what it declares: an accepted day, an event.
    """
    grid = demand.grid
    silent = demand.requests + demand.input_tokens + demand.output_tokens == 0
    declared = declared_of(scenario, grid.start_us, grid.end_us)
    for span in (*declared.accepted, *declared.events):
        silent &= (grid.starts_us < span.start_us) | (grid.starts_us >= span.end_us)
    long = np.zeros(grid.count, np.bool_)
    for first, end in runs(silent):
        long[first:end] = (end - first) * grid.interval_s > longest_s
    return long


def day_demand(session: Session, trace: str, day: date, scenario: Scenario) -> Demand:
    """The demand of a local day from its log's trace; demand outside the day is left out. Raises TraceError."""
    start_us, end_us = day_us(day, scenario)
    whole = replace(stored_traces.by_name(session, trace), window_start_us=start_us, window_end_us=end_us)
    return binned(session, whole, scenario.interval_s, scenario.zone)

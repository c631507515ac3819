"""Local days: where they begin and end, and the demand in their logs."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.forecast.past import Mask, marked, runs
from planner.errors import UsageError
from planner.planning.declared import declared_of
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.trace import stored as stored_traces
from planner.trace.demand import binned
from planner.units import S_PER_HOUR, US_PER_S, to_us


def day_us(day: date, scenario: Scenario) -> tuple[int, int]:
    """Start and end of a local day, UTC epoch microseconds; 23 or 25 hours where the clock changes."""
    begin, end = (datetime.combine(at, time(), scenario.zone) for at in (day, day + timedelta(days=1)))
    return to_us(begin), to_us(end)


def day_grid(day: date, scenario: Scenario) -> Grid:
    """The intervals of a local day."""
    start_us, end_us = day_us(day, scenario)
    return Grid(start_us, scenario.interval_s, (end_us - start_us) // (scenario.interval_s * US_PER_S))


def check_intervals(scenario: Scenario) -> None:
    """Raises UsageError if days do not begin on interval boundaries."""
    if S_PER_HOUR % scenario.interval_s:
        raise UsageError(
            f"interval_s={scenario.interval_s} does not divide an hour, but days of 23 and 25 hours must be whole "
            "numbers of intervals; use for example interval_s=900"
        )


def silences(demand: Demand, longest_s: int, scenario: Scenario) -> Mask:
    """Intervals of times without a request that are longer than longest_s, and of which the scenario says nothing.

    What it accepts, and events, are demand of zero; of incidents nothing is learned in any case.
    """
    grid = demand.grid
    silent = demand.requests + demand.input_tokens + demand.output_tokens == 0
    declared = declared_of(scenario, grid.start_us, grid.end_us)
    for span in (*declared.accepted, *declared.events):
        silent &= (grid.starts_us < span.start_us) | (grid.starts_us >= span.end_us)
    long = np.zeros(grid.count, np.bool_)
    for first, end in runs(silent):
        long[first:end] = (end - first) * grid.interval_s > longest_s
    return long & ~_incidents(grid, scenario)


def is_mostly_incident(day: date, scenario: Scenario) -> bool:
    """Whether more than half of a day is declared to tell nothing, in [[incident]] or forecast.ignore."""
    return bool(_incidents(day_grid(day, scenario), scenario).mean() > 1 / 2)


def _incidents(grid: Grid, scenario: Scenario) -> Mask:
    """Intervals of which any part is declared to tell nothing."""
    inside = np.zeros(grid.count, np.bool_)
    for span in declared_of(scenario, grid.start_us, grid.end_us).incidents:
        inside |= marked(grid, span)
    return inside


def day_demand(session: Session, trace: str, day: date, scenario: Scenario) -> Demand:
    """The demand of a local day from its log's trace; demand outside the day is left out. Raises TraceError."""
    start_us, end_us = day_us(day, scenario)
    whole = replace(stored_traces.by_name(session, trace), window_start_us=start_us, window_end_us=end_us)
    return binned(session, whole, scenario.interval_s, scenario.zone)

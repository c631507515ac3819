"""Local days: where they begin and end, and the demand in their logs."""

from dataclasses import replace
from datetime import date, datetime, time, timedelta

import numpy as np

from planner.core.demand import Demand
from planner.errors import UsageError
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


def longest_silence(demand: Demand) -> tuple[int, int]:
    """Start (UTC epoch microseconds) and length (s) of the longest time without a request."""
    marks = np.flatnonzero(demand.requests + demand.input_tokens + demand.output_tokens)
    edges = np.concatenate([[-1], marks, [demand.grid.count]])
    gaps = np.diff(edges) - 1
    longest = int(gaps.argmax())
    start_us = demand.grid.start_us + (int(edges[longest]) + 1) * demand.grid.interval_us
    return start_us, int(gaps[longest]) * demand.grid.interval_s


def day_demand(session: Session, trace: str, day: date, scenario: Scenario) -> Demand:
    """The demand of a local day from its log's trace; demand outside the day is left out. Raises TraceError."""
    start_us, end_us = day_us(day, scenario)
    whole = replace(stored_traces.by_name(session, trace), window_start_us=start_us, window_end_us=end_us)
    return binned(session, whole, scenario.interval_s, scenario.zone)

"""How good a stored plan is: its distance to the proven bound, and whether its latency targets hold as modelled.

The bound follows from what is stored with the run. What units do within the targets follows from the requests of its
trace as well, which may have been deleted since.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np

from planner.core.demand import Demand, Grid
from planner.core.fleet.units import Units
from planner.core.optimum import gap, relaxed_bounds
from planner.documents import Document
from planner.errors import TraceError, UsageError
from planner.planning.capacity import Limits
from planner.planning.selection import reading
from planner.planning.targets import requests_in_time, target_limits
from planner.runs.read import RunView
from planner.settings.fleet import FleetSettings
from planner.store import Store
from planner.studies.bound.run import bounds_of, problem_of
from planner.trace import stored
from planner.units import Clock, Ints

Proof = Literal["linear relaxation", "search"]
"""How a bound is proven: with units that may be fractions, or by branch and bound, which takes longer and is higher."""


@dataclass(frozen=True, kw_only=True)
class PlanBound(Document):
    """The bound on the node-hours of any policy within the plan's shortfall allowance, as `planner compare` has it."""

    proof: Proof
    """How it is proven."""
    node_hours: float
    """No policy within the allowance takes fewer."""
    max_shortfall_ratio: float
    """The allowance, slo.max_shortfall_ratio: shortfall over all tokens."""
    gap_to_bound: float | None
    """The plan's node-hours over the bound, less 1; null where the plan is beyond the allowance, or the bound is 0."""
    seconds: float
    """Time that the proof took."""


@dataclass(frozen=True, kw_only=True)
class Outlook(Document):
    """How good a plan is, as far as is known without a replay."""

    bound: PlanBound | None
    bound_problem: str | None
    """Why there is no bound; null if there is one."""
    latency_met_ratio: float | None
    """Share of requests in intervals whose serving units are modelled to keep both latency targets: 99 % of first
    tokens within slo.ttft_ms, and slo.tpot_ms per token on average; null if that is not known."""
    latency_problem: str | None
    """Why it is not known; null if it is."""


def outlook_of(store: Store, run: RunView, *, time_limit_s: float = 0.0, clock: Clock) -> Outlook:
    """The outlook of a run. time_limit_s: of the search for the bound; 0 for the linear relaxation alone.

    Raises RunError if another version stored it with other settings, StoreError.
    """
    try:
        limits: Limits | str = limits_of(store, run)
    except (TraceError, UsageError) as error:
        limits = str(error)
    return outlook(run, limits, time_limit_s=time_limit_s, clock=clock)


def outlook(run: RunView, limits: Limits | str, *, time_limit_s: float = 0.0, clock: Clock) -> Outlook:
    """The outlook of a run whose latency limits are known; limits: these, or why they are not known."""
    demand, scenario = demand_of(run), run.scenario
    bound, bound_problem = bound_of(run, demand, time_limit_s, clock)
    met, latency_problem = (None, limits) if isinstance(limits, str) else met_ratio(run, scenario.fleet, demand, limits)
    return Outlook(bound=bound, bound_problem=bound_problem, latency_met_ratio=met, latency_problem=latency_problem)


def demand_of(run: RunView) -> Demand:
    """The demand that a stored plan is for."""
    grid = Grid(int(run.intervals["interval_start"].dt.epoch("us")[0]), run.record.interval_s, run.intervals.height)
    names = ("requests", "input_tokens", "cached_input_tokens", "output_tokens")
    return Demand(grid=grid, **{name: _column(run, name) for name in names})


def _column(run: RunView, name: str) -> Ints:
    return run.intervals[name].cast(int).to_numpy().astype(np.int64)


def limits_of(store: Store, run: RunView) -> Limits:
    """What units do within the latency targets with the requests of a run's trace.

    Raises TraceError where it was deleted, UsageError where nothing can be modelled.
    """
    with store.read() as session:
        trace = stored.by_name(session, run.record.trace)
    # a trace that is stored later may have the number of one that was deleted
    if trace.trace_id != run.record.trace_id or trace.created_at > run.record.created_at:
        raise TraceError(f'the trace "{trace.name}" of the run was deleted, and another one has its name')
    with reading(store, run.scenario, trace) as session:
        return target_limits(session, run.scenario, trace)


def met_ratio(run: RunView, fleet: FleetSettings, demand: Demand, limits: Limits) -> tuple[float | None, str | None]:
    """The share of requests in intervals that are modelled to keep both targets, or why there is none."""
    requests = int(demand.requests.sum())
    if not requests:
        return None, "there are no requests"
    serving = (_column(run, f"{role}_serving_tokens") for role in ("prefill", "decode"))
    return requests_in_time(limits, fleet, demand, *serving) / requests, None


def bound_of(run: RunView, demand: Demand, time_limit_s: float, clock: Clock) -> tuple[PlanBound | None, str | None]:
    """The bound of a run, or why there is none."""
    begin = clock()
    try:
        value, cure = _proven(run, demand, time_limit_s, clock)
    except UsageError as error:
        return None, str(error)
    if value is None:
        return None, cure
    allowed, figures = run.scenario.slo.max_shortfall_ratio, run.summary
    return PlanBound(
        proof="search" if time_limit_s else "linear relaxation",
        node_hours=value,
        max_shortfall_ratio=allowed,
        # the bound is one on plans within the allowance, and says nothing about others
        gap_to_bound=gap(figures.node_hours, value) if figures.shortfall_ratio <= allowed else None,
        seconds=clock() - begin,
    ), None


def _proven(run: RunView, demand: Demand, time_limit_s: float, clock: Clock) -> tuple[float | None, str | None]:
    """The least node-hours of any plan within the allowance, or what a fleet lacks that has none. Raises UsageError."""
    if not time_limit_s:
        classes = relaxed_bounds(problem_of(run.scenario, demand), "node-hours", clock)
        least = min(each.lp_bound for each in classes)
        if isfinite(least):
            return least, None
    held = [Units.of_columns(row) for row in run.intervals.to_dicts()]
    found = bounds_of(run.scenario, demand, starts=[held], time_limit_s=time_limit_s, clock=clock)
    return found.bound, found.cure

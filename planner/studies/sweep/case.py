"""One case of a sweep: the scenario at other values, its demand, its plan, what comes of it.

A case is a plan of its own: its policy sees the case's demand and capacities as it would see them in `planner plan`.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.capacity.units import LatencyLimits
from planner.catalogue.scenarios import with_values
from planner.core.demand import Demand
from planner.core.economics.ledger import margin_ratio
from planner.core.replay.intervals.plan import IntervalPlan
from planner.errors import PlannerError, UsageError
from planner.planning.decide import decide
from planner.planning.prepare import Prepared
from planner.planning.price import costs_of, revenue_of
from planner.settings.scenario import FleetSettings, Scenario, TraceSettings
from planner.trace.stored import TraceInfo
from planner.trace.synthetic.cells import cells_of, demand_of, log_noise
from planner.trace.synthetic.profile import Profile
from planner.units import S_PER_DAY, S_PER_HOUR, usd

CACHE_HIT = "cache_hit_ratio"
GPU_PRICE = "gpu_usd_per_hour"
NODES_DOWN = "nodes_down_ratio"
OWN = (CACHE_HIT, GPU_PRICE, NODES_DOWN)
"""Parameters that are no fields of a scenario."""

LEVEL, NOISE, GROWTH = "trace.demand_factor", "trace.noise", "trace.growth_per_day"

_CELL_S = 900
"""Time that one step of the noise lasts, where a trace has no cells: as in the profiles that are shipped."""

Value = float | int | None


@dataclass(frozen=True)
class Case:
    """One plan to make. role: base, sample, low, high or seed. varied: the parameter of low, high and seed.

    values: of every parameter, None for a field that is left out. seed: of the noise.
    """

    index: int
    role: str
    varied: str | None
    policy: str
    values: Mapping[str, Value]
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What came of a case; integers as in the run tables. latency_met_requests: None where that is not modelled."""

    case: Case
    plan_s: int
    peak_nodes: int
    inference_node_s: int
    training_node_s: int
    useful_training_node_s: int
    cost_usd_micros: int
    revenue_usd_micros: int
    demanded_tokens: int
    shortfall_tokens: int
    requests: int
    latency_met_requests: int | None
    max_shortfall_ratio: float

    @property
    def shortfall_ratio(self) -> float:
        return self.shortfall_tokens / self.demanded_tokens if self.demanded_tokens else 0.0

    @property
    def slo_met(self) -> bool:
        """Whether the case holds slo.max_shortfall_ratio."""
        return self.shortfall_ratio <= self.max_shortfall_ratio

    def metrics(self) -> dict[str, float | None]:
        """The figures of a plan's summary, and the share of requests with modelled latencies within the targets."""
        met = self.latency_met_requests
        return {
            "cost_usd": usd(self.cost_usd_micros),
            "peak_nodes": self.peak_nodes,
            "mean_nodes": self.inference_node_s / self.plan_s,
            "training_node_hours": self.training_node_s / S_PER_HOUR,
            "useful_training_node_hours": self.useful_training_node_s / S_PER_HOUR,
            "revenue_usd": usd(self.revenue_usd_micros),
            "margin_ratio": margin_ratio(self.cost_usd_micros, self.revenue_usd_micros),
            "shortfall_tokens": self.shortfall_tokens,
            "shortfall_ratio": self.shortfall_ratio,
            "latency_met_ratio": None if met is None or not self.requests else met / self.requests,
        }


@dataclass(frozen=True)
class Study:
    """What the cases of a sweep have in common: the base.

    scenario: with the capacities to plan with. demand: of the stored trace. profile: what the trace was drawn from;
    None for an imported one. settings: what its demand comes from, at the base. by_cells: whether the profile's cells
    give the stored demand exactly, so that a case's demand is that of a trace drawn for it. limits: of base units.
    prepared: the base under every policy of the sweep.
    """

    scenario: Scenario
    trace: TraceInfo
    demand: Demand
    profile: Profile | None
    settings: TraceSettings
    by_cells: bool
    limits: LatencyLimits | None
    prepared: Mapping[str, Prepared]

    @cached_property
    def tree(self) -> dict[str, Any]:
        """The scenario as nested values; provenance is left out, since no case is stored with it."""
        return {
            **self.scenario.model_dump(exclude={"provenance"}),
            "trace": self.settings.model_dump(),
        }

    @property
    def gpu_usd_per_hour(self) -> float:
        """Price of a GPU-hour."""
        return self.prepared[self.scenario.policy.name].prices.gpu.usd_per_gpu_hour

    @cached_property
    def hit_ratio(self) -> float:
        """Share of the stored trace's input tokens found in the cache."""
        total = int(self.demand.input_tokens.sum())
        return int(self.demand.cached_input_tokens.sum()) / total if total else 0.0

    def scenario_at(self, policy: str, values: Mapping[str, Value], seed: int) -> Scenario:
        """The scenario with fields at other values; what is no field is left out. Raises ScenarioError."""
        fields = {path: value for path, value in values.items() if path not in OWN}
        return with_values(copy.deepcopy(self.tree), {"policy.name": policy, "trace.seed": seed, **fields})


def run_cases(study: Study, cases: Sequence[Case]) -> list[Outcome]:
    """Plan cases, one after the other. Raises UsageError that names the case that cannot be planned."""
    found = []
    for case in cases:
        try:
            found.append(run_case(study, case))
        except PlannerError as error:
            values = ", ".join(f"{path}={value:g}" for path, value in case.values.items() if value is not None)
            raise UsageError(f"{case.policy} at {values}: {error}") from error
    return found


def run_case(study: Study, case: Case) -> Outcome:
    """Plan one case. Raises UsageError, RunError."""
    scenario = study.scenario_at(case.policy, case.values, case.seed)
    demand = with_hits(demand_at(study, scenario.trace), study.hit_ratio, _number(case, CACHE_HIT, study.hit_ratio))
    able = ability(study, scenario.fleet, case)
    scenario = scenario.model_copy(update={"fleet": able_fleet(scenario.fleet, able)})
    limits = study.limits and LatencyLimits(
        study.limits.input_tokens_per_s * able[0], study.limits.output_tokens_per_s * able[1]
    )
    prepared = replace(study.prepared[case.policy], scenario=scenario, demand=demand, limits=limits)
    plan = decide(prepared).plan
    shortfall = sum(
        int(getattr(plan, f"{kind}_shortfall_{tokens}_tokens").sum())
        for kind in ("steady", "start_up")
        for tokens in ("input", "output")
    )
    return Outcome(
        case=case,
        plan_s=plan.grid.length_s,
        peak_nodes=int(plan.inference_nodes.max()),
        inference_node_s=int(plan.inference_node_s.sum()),
        training_node_s=int((plan.training_node_s + plan.restoring_node_s).sum()),
        useful_training_node_s=int(plan.training_node_s.sum()),
        cost_usd_micros=sum(costs_of(scenario, plan, _number(case, GPU_PRICE, study.gpu_usd_per_hour)).inference),
        revenue_usd_micros=sum(revenue_of(scenario.economics, prepared.prices, demand).theoretical),
        demanded_tokens=int(demand.input_tokens.sum() + demand.output_tokens.sum()),
        shortfall_tokens=shortfall,
        requests=int(demand.requests.sum()),
        latency_met_requests=None if limits is None else _met(plan, demand, scenario.fleet, limits),
        max_shortfall_ratio=scenario.slo.max_shortfall_ratio,
    )


def demand_at(study: Study, settings: TraceSettings) -> Demand:
    """The demand of a case: of a trace drawn with its settings, or the stored one times level and noise."""
    if study.by_cells:
        assert study.profile is not None, "cells come from a profile"
        block_tokens = study.profile.settings.population.block_tokens
        return demand_of(cells_of(study.profile, settings), block_tokens, study.demand.grid)
    factors = settings.demand_factor / study.settings.demand_factor * noise_factors(settings, study.demand)

    def times(values: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.rint(values * factors).astype(np.int64)

    stored = study.demand
    return replace(
        stored,
        requests=times(stored.requests),
        input_tokens=times(stored.input_tokens),
        cached_input_tokens=times(stored.cached_input_tokens),
        output_tokens=times(stored.output_tokens),
    )


def noise_factors(settings: TraceSettings, demand: Demand) -> NDArray[np.float64]:
    """Noise as drawn traces have it, for any intervals, from their first on; (intervals,).

    An interval has the mean factor of the quarter-hours that it touches.
    """
    grid = demand.grid
    days = -(-grid.length_s // S_PER_DAY)
    cells = np.exp(log_noise(settings.noise, settings.seed, days, S_PER_DAY // _CELL_S))
    begin_s = np.arange(grid.count) * grid.interval_s
    first, last = begin_s // _CELL_S, (begin_s + grid.interval_s - 1) // _CELL_S
    running = np.concatenate([[0.0], np.cumsum(cells)])
    factors: NDArray[np.float64] = (running[last + 1] - running[first]) / (last + 1 - first)
    return factors if settings.noise else np.ones(grid.count)


def with_hits(demand: Demand, before: float, after: float) -> Demand:
    """Demand with another share of its input in the cache. before, after: shares over the whole.

    For fewer hits all intervals lose the same share of theirs; for more, the same share of their misses.
    """
    cached = demand.cached_input_tokens
    if after < before:
        cached = np.rint(cached * (after / before)).astype(np.int64)
    elif after > before:
        missed = demand.input_tokens - cached
        cached = demand.input_tokens - np.rint(missed * ((1 - after) / (1 - before))).astype(np.int64)
    return replace(demand, cached_input_tokens=cached)


def ability(study: Study, fleet: FleetSettings, case: Case) -> tuple[float, float]:
    """Capacity of prefill and decode units over that at the base.

    Only missed tokens take prefill's time, at a constant rate of them. A unit serves while all of its nodes are up,
    nodes fail independently and no others take their place: the share of time is (1 - down) ** nodes.
    """
    up = 1 - _number(case, NODES_DOWN, 0.0)
    hits = _number(case, CACHE_HIT, study.hit_ratio)
    more = 1.0 if hits == study.hit_ratio else (1 - study.hit_ratio) / (1 - hits)
    return more * up**fleet.prefill.nodes, up**fleet.decode.nodes


def able_fleet(fleet: FleetSettings, able: tuple[float, float]) -> FleetSettings:
    """A fleet whose nodes carry so many times as much."""
    roles = {
        role: unit.model_copy(update={"tokens_per_s_per_node": unit.tokens_per_s_per_node * factor})
        for role, unit, factor in zip(("prefill", "decode"), (fleet.prefill, fleet.decode), able, strict=True)
    }
    return fleet.model_copy(update=roles)


def _met(plan: IntervalPlan, demand: Demand, fleet: FleetSettings, limits: LatencyLimits) -> int:
    """Requests of intervals in which what serves is modelled to keep both latency targets."""
    prefill_s = plan.prefill_serving_tokens / (fleet.prefill.nodes * fleet.prefill.tokens_per_s_per_node)
    decode_s = plan.decode_serving_tokens / (fleet.decode.nodes * fleet.decode.tokens_per_s_per_node)
    met = (demand.input_tokens <= prefill_s * limits.input_tokens_per_s) & (
        demand.output_tokens <= decode_s * limits.output_tokens_per_s
    )
    return int(demand.requests[met].sum())


def _number(case: Case, parameter: str, base: float) -> float:
    value = case.values.get(parameter)
    return base if value is None else float(value)

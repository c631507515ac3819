"""One case of a sweep: the scenario at other values, its demand, its plan, its outcome.

A case is a plan of its own: its policy sees the case's demand and capacities as it would see them in `planner plan`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

from planner.core.demand import Demand
from planner.core.economics.ledger import margin_ratio
from planner.core.load import with_hits
from planner.documents import Document
from planner.errors import PlannerError, UsageError
from planner.planning.allowance import input_factor, scale_capacity, scale_limits, up_factors
from planner.planning.decide import decide
from planner.planning.price import costs_of, revenue_of
from planner.planning.targets import requests_in_time
from planner.settings.fleet import FleetSettings
from planner.settings.trace import TraceSettings
from planner.studies.sweep.base import CACHE_HIT, GPU_PRICE, NODES_DOWN, UNIT_CAPACITY, SweepBase, Value
from planner.trace.synthetic.cells import cells_of, demand_of
from planner.units import S_PER_HOUR, usd

Role = Literal["base", "sample", "low", "high", "seed"]
Metric = Literal[
    "cost_usd",
    "peak_nodes",
    "mean_nodes",
    "training_node_hours",
    "useful_training_node_hours",
    "revenue_usd",
    "margin_ratio",
    "shortfall_tokens",
    "shortfall_ratio",
    "latency_met_ratio",
]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True, kw_only=True)
class SweepCase:
    """One plan to make. varied: the parameter of low, high and seed.

    values: of every parameter, None for a field that is left out. seed: of the noise.
    """

    index: int
    role: Role
    varied: str | None
    policy: str
    values: Mapping[str, Value]
    seed: int


@dataclass(frozen=True, kw_only=True)
class CaseFigures(Document):
    """The figures of a case, as in a plan's summary."""

    cost_usd: float
    """Cost of inference."""
    peak_nodes: int
    """Most nodes that inference holds."""
    mean_nodes: float
    """Nodes that inference holds, on average over time."""
    training_node_hours: float
    """Node-hours lent to training, restoring included."""
    useful_training_node_hours: float
    """Node-hours lent to training, without restoring."""
    revenue_usd: float
    """Theoretical revenue: all tokens at list price."""
    margin_ratio: float | None
    """Revenue less cost, over cost; null if nothing is spent."""
    shortfall_tokens: int
    """Tokens demanded beyond the capacity."""
    shortfall_ratio: float
    """Tokens beyond the capacity over all tokens."""
    latency_met_ratio: float | None
    """Share of requests in intervals modelled to keep both latency targets; null if that is not modelled."""

    def value(self, metric: Metric) -> float | None:
        """One of the figures."""
        figure: float | None = getattr(self, metric)
        return figure


@dataclass(frozen=True, kw_only=True)
class CaseOutcome:
    """The outcome of a case; integers as in the run tables. latency_met_requests: None if that is not modelled."""

    case: SweepCase
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
        """Whether the case meets slo.max_shortfall_ratio."""
        return self.shortfall_ratio <= self.max_shortfall_ratio

    @cached_property
    def figures(self) -> CaseFigures:
        """The figures of a plan's summary, and the share of requests with modelled latencies within the targets."""
        met = self.latency_met_requests
        return CaseFigures(
            cost_usd=usd(self.cost_usd_micros),
            peak_nodes=self.peak_nodes,
            mean_nodes=self.inference_node_s / self.plan_s,
            training_node_hours=self.training_node_s / S_PER_HOUR,
            useful_training_node_hours=self.useful_training_node_s / S_PER_HOUR,
            revenue_usd=usd(self.revenue_usd_micros),
            margin_ratio=margin_ratio(self.cost_usd_micros, self.revenue_usd_micros),
            shortfall_tokens=self.shortfall_tokens,
            shortfall_ratio=self.shortfall_ratio,
            latency_met_ratio=None if met is None or not self.requests else met / self.requests,
        )


def run_cases(base: SweepBase, cases: Sequence[SweepCase]) -> list[CaseOutcome]:
    """Plan cases, one after the other. Raises UsageError that names the case that cannot be planned."""
    outcomes = []
    for case in cases:
        try:
            outcomes.append(run_case(base, case))
        except PlannerError as error:
            values = ", ".join(f"{path}={value:g}" for path, value in case.values.items() if value is not None)
            raise UsageError(f"{case.policy} at {values}: {error}") from error
    return outcomes


def run_case(base: SweepBase, case: SweepCase) -> CaseOutcome:
    """Plan one case. Raises UsageError, RunError."""
    scenario = base.scenario_at(case.policy, case.values, case.seed)
    demand = with_hits(demand_at(base, scenario.trace), base.own_hit_ratio, _number(case, CACHE_HIT, base.hit_ratio))
    prefill, decode = capacity_factors(base, scenario.fleet, case)
    scenario = scenario.model_copy(update={"fleet": scale_capacity(scenario.fleet, prefill, decode)})
    limits = scale_limits(base.limits, scenario.fleet, prefill, decode)
    prepared = replace(base.prepared[case.policy], scenario=scenario, demand=demand, limits=limits)
    plan = decide(prepared).plan
    return CaseOutcome(
        case=case,
        plan_s=plan.grid.length_s,
        peak_nodes=int(plan.inference_nodes.max()),
        inference_node_s=int(plan.inference_node_s.sum()),
        training_node_s=int(plan.lent_node_s.sum()),
        useful_training_node_s=int(plan.training_node_s.sum()),
        cost_usd_micros=sum(costs_of(scenario, plan, _number(case, GPU_PRICE, base.gpu_usd_per_hour)).inference),
        revenue_usd_micros=sum(revenue_of(scenario.economics, prepared.prices, demand).theoretical),
        demanded_tokens=int(demand.input_tokens.sum() + demand.output_tokens.sum()),
        shortfall_tokens=int(plan.shortfall_tokens.sum()),
        requests=int(demand.requests.sum()),
        latency_met_requests=None
        if limits is None
        else requests_in_time(limits, scenario.fleet, demand, plan.prefill_serving_tokens, plan.decode_serving_tokens),
        max_shortfall_ratio=scenario.slo.max_shortfall_ratio,
    )


def demand_at(base: SweepBase, settings: TraceSettings) -> Demand:
    """The demand of a case: of a trace drawn with its settings, or the stored one as they change it."""
    if base.by_cells:
        assert base.profile is not None, "cells come from a profile"
        block_tokens = base.profile.settings.population.block_tokens
        return demand_of(cells_of(base.profile, settings), block_tokens, base.demand.grid)
    return base.changed(settings)


def capacity_factors(base: SweepBase, fleet: FleetSettings, case: SweepCase) -> tuple[float, float]:
    """Capacity of prefill and decode units over that at the base; of units that do both, in input and in output."""
    more = input_factor(base.hit_ratio, _number(case, CACHE_HIT, base.hit_ratio))
    at_base = up_factors(fleet, base.nodes_down_ratio)
    up = up_factors(fleet, _number(case, NODES_DOWN, base.nodes_down_ratio))
    prefill, decode = (_number(case, UNIT_CAPACITY, 1.0) * (up[role] / at_base[role]) for role in (0, 1))
    return more * prefill, decode


def _number(case: SweepCase, parameter: str, default: float) -> float:
    value = case.values.get(parameter)
    return default if value is None else float(value)

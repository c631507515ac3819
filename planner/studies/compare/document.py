"""The document of a comparison: policies by ascending node-hours at equal shortfall, and the bound."""

from collections.abc import Mapping
from dataclasses import dataclass

from planner.catalogue.read import scenario_gpu_rate
from planner.core.economics.prices import node_hour_micros
from planner.core.optimum import Status
from planner.documents import Document, Maybe, Time
from planner.planning.selection import selection_notes
from planner.runs.outcome import FigureBand
from planner.settings.scenario import Scenario
from planner.studies.compare.candidates import Candidate, Comparison
from planner.studies.compare.figures import PolicyFigures
from planner.studies.compare.losses import PolicyLosses, describe_demand, explain_forecast, find_losses
from planner.units import usd


@dataclass(frozen=True, kw_only=True)
class EqualShortfall(Document):
    """A policy tuned to the allowed shortfall."""

    target_utilisation: float | None
    """The highest target utilisation whose shortfall is allowed; null for a policy without one."""
    node_hours: float
    """Node-hours that inference then holds."""
    cost_usd: float
    """What these cost."""
    shortfall_ratio: float
    """Tokens beyond the capacity over all tokens."""
    gap_to_bound: float | None
    """These node-hours over the bound, less 1."""


@dataclass(frozen=True, kw_only=True)
class PolicyAttainment(Document):
    """What a replay of a policy's busiest hour measured of its latency targets."""

    ttft_attainment: float | None
    """Share of requests within slo.ttft_ms."""
    tpot_attainment: float | None
    """Share of requests within slo.tpot_ms."""
    both_attainment: float | None
    """Share of requests within both."""
    run_id: str
    """The run that the replay is stored as."""
    window_start: Time
    """Requests that arrive from this time on are counted."""
    window_end: Time
    """Requests that arrive before this time are counted."""


@dataclass(frozen=True, kw_only=True)
class ComparedPolicyHead(Document):
    """Which policy a row is about."""

    policy: str
    """Policy, or policy@demand-source."""
    demand_source: str
    """What the policy saw of the demand to come, or none."""


@dataclass(frozen=True, kw_only=True)
class ComparedPolicy(PolicyFigures, ComparedPolicyHead):
    """A policy as configured, tuned to the allowed shortfall, and where it loses."""

    bands: tuple[FigureBand, ...]
    """90 % bands of figures; none where capacities are observed."""
    within_allowance: bool
    """Whether the shortfall is within slo.max_shortfall_ratio."""
    gap_to_bound: float | None
    """Node-hours over the bound, less 1; null beyond the allowance, where the bound says nothing."""
    at_equal_shortfall: EqualShortfall | None
    """The policy tuned to the allowance; null if it cannot meet it."""
    loses: PolicyLosses
    seconds: float
    """Time to decide, replay and price the plan."""
    notes: tuple[str, ...]
    slo: PolicyAttainment | None
    """Measured by a replay, where one was asked for."""
    run_id: str
    """The run that the plan is stored as."""


@dataclass(frozen=True, kw_only=True)
class ComparisonBound(Document):
    """The bound on the node-hours of any policy within the allowance."""

    node_hours: float | None
    """No policy within the allowance takes fewer; null if none is within it."""
    cost_usd: float | None
    """What these node-hours cost."""
    schedule_node_hours: float | None
    """Node-hours of the best schedule that was found."""
    status: Status
    gap: float | None
    """That schedule over the bound, less 1."""
    seconds: float
    """Time that the search took."""
    lp_node_hours: float | None
    """Bound of the linear relaxation."""
    cure: str | None
    """How to make an infeasible problem feasible."""


@dataclass(frozen=True, kw_only=True)
class ComparisonDocument(Document):
    """Policies side by side on one demand."""

    comparison_id: str
    scenario: str
    trace: str
    interval_s: int
    intervals: int
    max_shortfall_ratio: float
    """Shortfall that slo.max_shortfall_ratio allows, over all tokens."""
    policies: tuple[ComparedPolicy, ...]
    """By ascending node-hours at equal shortfall; those that cannot meet it come last."""
    bound: ComparisonBound
    seconds: float
    """Time to decide, replay and price the plans of all policies."""
    notes: tuple[str, ...]
    page: Maybe[str] = None
    """The page that was written."""
    files: Maybe[tuple[str, ...]] = None
    """All files of the page."""


def describe_comparison(
    comparison: Comparison, comparison_id: str, run_ids: Mapping[str, str], attainment: Mapping[str, PolicyAttainment]
) -> ComparisonDocument:
    """The document of a stored comparison. run_ids, attainment: by the name of the policy."""
    return ComparisonDocument(
        comparison_id=comparison_id,
        scenario=comparison.scenario.name,
        trace=comparison.trace.name,
        interval_s=comparison.demand.grid.interval_s,
        intervals=comparison.demand.grid.count,
        max_shortfall_ratio=comparison.scenario.slo.max_shortfall_ratio,
        policies=tuple(
            _describe_policy(comparison, candidate, run_ids[candidate.name], attainment.get(candidate.name))
            for candidate in comparison.ranked
        ),
        bound=_describe_bound(comparison),
        seconds=sum(candidate.seconds for candidate in comparison.candidates),
        notes=(
            *comparison.caution,
            *selection_notes(comparison.scenario, comparison.trace),
            *explain_forecast(comparison),
            *describe_demand(comparison),
            *(f"left out: {text}" for text in comparison.left_out),
        ),
    )


def _describe_policy(
    comparison: Comparison, candidate: Candidate, run_id: str, attainment: PolicyAttainment | None
) -> ComparedPolicy:
    figures, tuned = candidate.figures, candidate.tuned
    return ComparedPolicy(
        **vars(figures),
        policy=candidate.name,
        demand_source=candidate.outcome.demand_source,
        bands=candidate.outcome.bands,
        within_allowance=comparison.within_allowance(figures),
        gap_to_bound=comparison.gap_to_bound(figures),
        at_equal_shortfall=None
        if tuned is None
        else EqualShortfall(
            target_utilisation=tuned.target_utilisation,
            node_hours=tuned.figures.node_hours,
            cost_usd=tuned.figures.cost_usd,
            shortfall_ratio=tuned.figures.shortfall_ratio,
            gap_to_bound=comparison.gap_to_bound(tuned.figures),
        ),
        loses=find_losses(comparison, candidate),
        seconds=candidate.seconds,
        notes=candidate.outcome.notes,
        slo=attainment,
        run_id=run_id,
    )


def _describe_bound(comparison: Comparison) -> ComparisonBound:
    bound = comparison.bound
    return ComparisonBound(
        node_hours=bound.bound,
        cost_usd=None if bound.bound is None else _cost(comparison.scenario, bound.bound),
        schedule_node_hours=bound.schedule.value if bound.schedule else None,
        status=bound.status,
        gap=bound.gap,
        seconds=bound.seconds,
        lp_node_hours=bound.lp_bound,
        cure=bound.cure,
    )


def _cost(scenario: Scenario, node_hours: float) -> float:
    rate = scenario_gpu_rate(scenario.economics)
    return node_hours * usd(node_hour_micros(rate.usd_per_gpu_hour, scenario.fleet.gpus_per_node))

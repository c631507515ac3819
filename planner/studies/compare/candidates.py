"""Policies side by side on one demand: which are compared, their plans, and the bound on all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from planner.core.demand import Demand
from planner.core.forecast import forecaster
from planner.core.load import hit_ratio
from planner.core.optimum import Optimum, gap
from planner.core.policy import POLICIES
from planner.core.replay.intervals.plan import IntervalPlan
from planner.errors import UsageError
from planner.planning.allowance import allowance_notes, with_planned_capacity, with_set_hits
from planner.planning.check import check
from planner.planning.observed import observed_notes
from planner.planning.plan import plan
from planner.planning.prepare import Prepared, ensure_trace, prepare_on
from planner.planning.selection import reading, selected_demand
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.bound.run import TIME_LIMIT_S, bounds_of
from planner.studies.compare.figures import PolicyFigures, compute_figures
from planner.studies.compare.tune import TunedPolicy, tune
from planner.trace.stored import TraceInfo
from planner.units import Clock, Progress

SOURCES = ("trace", "profile", "previous", "forecast")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One policy of a comparison. name: policy, or policy@demand-source. seconds: to decide, replay and price it.

    tuned: at the allowed shortfall; None if it cannot meet that, or was not asked for.
    """

    name: str
    outcome: PlanOutcome
    figures: PolicyFigures
    tuned: TunedPolicy | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Policies on one demand, and the bound on the node-hours of any policy.

    scenario: with its capacities. caution: on what else they were observed, and what plans allow for.
    """

    scenario: Scenario
    trace: TraceInfo
    demand: Demand
    candidates: tuple[Candidate, ...]
    bound: Optimum
    left_out: tuple[str, ...]
    caution: tuple[str, ...] = ()

    @property
    def plans(self) -> dict[str, IntervalPlan]:
        """Plans by policy, and the best schedule that was found."""
        plans = {candidate.name: candidate.outcome.plan for candidate in self.candidates}
        return plans if self.bound.schedule is None else {**plans, "best schedule": self.bound.schedule.plan}

    @property
    def ranked(self) -> list[Candidate]:
        """Candidates by node-hours at equal shortfall; those without any last, by shortfall."""

        def key(candidate: Candidate) -> tuple[bool, float]:
            if candidate.tuned is None:
                return True, candidate.figures.shortfall_ratio
            return False, candidate.tuned.figures.node_hours

        return sorted(self.candidates, key=key)

    def within_allowance(self, figures: PolicyFigures) -> bool:
        """Whether the shortfall is one that slo.max_shortfall_ratio allows."""
        return figures.shortfall_ratio <= self.scenario.slo.max_shortfall_ratio

    def gap_to_bound(self, figures: PolicyFigures) -> float | None:
        """Node-hours above the bound, as a share of it; None beyond the allowance: the bound is one on policies within
        it, and says nothing about others."""
        return gap(figures.node_hours, self.bound.bound) if self.within_allowance(figures) else None


def default_policies(scenario: Scenario, demand: Demand) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The policies that are compared where none are named, and why others are left out."""
    names = ["fixed", "night-training", "reactive", "predictive@previous", "slo@previous", "oracle"]
    maker = forecaster(scenario.forecast.method, demand.grid.interval_s, scenario.forecast.season)
    if demand.grid.count <= maker.needs:
        return tuple(names), (
            f"predictive@forecast: {maker.name} needs over {maker.needs} intervals of history and the "
            f"trace has {demand.grid.count}; give more days, for example --set trace.days=14",
        )
    return (*names[:4], "predictive@forecast", *names[4:]), ()


def variant(scenario: Scenario, name: str) -> Scenario:
    """The scenario under a policy, or policy@demand-source. Raises UsageError."""
    policy, at, source = name.partition("@")
    if policy not in POLICIES:
        raise UsageError(f'--policies: no policy "{policy}"; use some of {", ".join(POLICIES)}')
    if at and source not in SOURCES:
        raise UsageError(f'--policies: no demand source "{source}" in {name}; use one of {", ".join(SOURCES)}')
    changed = {"name": policy, **({"demand_source": source} if at else {})}
    return scenario.model_copy(update={"policy": scenario.policy.model_copy(update=changed)})


def compare(
    store: Store,
    scenario: Scenario,
    names: Sequence[str] = (),
    *,
    level: bool = True,
    time_limit_s: float = TIME_LIMIT_S,
    now: datetime,
    clock: Clock,
    progress: Progress | None = None,
    drawing: Progress | None = None,
) -> Comparison:
    """Policies on the scenario's trace, drawn if it is not stored. names: empty for the usual ones.

    level: whether each is also tuned to the allowed shortfall. progress: policies done of all, and the bound; drawing:
    requests drawn. Nothing but a drawn trace is stored. Raises UsageError.
    """
    trace = ensure_trace(store, scenario, now=now, progress=drawing)
    with reading(store, scenario, trace) as session:
        demand = selected_demand(session, scenario, trace)
        scenarios, left_out = _variants(scenario, demand, names)
        variants = {name: prepare_on(session, own, trace, demand) for name, own in scenarios.items()}
        caution = observed_notes(session, scenario, trace)
        caution = (*caution, *allowance_notes(scenario, hit_ratio(demand)))
        scenario = with_planned_capacity(session, scenario, trace, demand)
    demand = with_set_hits(demand, scenario)
    candidates = _candidates(variants, level=level, clock=clock, progress=progress)
    starts = [candidate.outcome.plan.units for candidate in candidates]
    bound = bounds_of(scenario, demand, "node-hours", starts=starts, time_limit_s=time_limit_s, clock=clock)
    return Comparison(
        scenario=scenario,
        trace=trace,
        demand=demand,
        candidates=tuple(candidates),
        bound=bound,
        left_out=left_out,
        caution=caution,
    )


def _candidates(
    variants: Mapping[str, Prepared], *, level: bool, clock: Clock, progress: Progress | None
) -> list[Candidate]:
    """The plans of all policies, and what becomes of each when it is tuned."""
    candidates: list[Candidate] = []
    for name, prepared in variants.items():
        _tell(progress, len(candidates), len(variants))
        begin = clock()
        outcome = plan(prepared)
        seconds = clock() - begin
        tuned = tune(prepared, outcome) if level else None
        candidates.append(
            Candidate(name=name, outcome=outcome, figures=compute_figures(outcome), tuned=tuned, seconds=seconds)
        )
    _tell(progress, len(candidates), len(variants))
    return candidates


def _tell(progress: Progress | None, done: int, policies: int) -> None:
    if progress is not None:
        # the bound, which comes last, is one more
        progress(done, policies + 1)


def _variants(scenario: Scenario, demand: Demand, names: Sequence[str]) -> tuple[dict[str, Scenario], tuple[str, ...]]:
    """Scenarios by policy, and why usual ones are left out. Raises UsageError for a named one that cannot be had."""
    wanted, left_out = (tuple(names), ()) if names else default_policies(scenario, demand)
    variants = {name: variant(scenario, name) for name in wanted}
    problems = {name: check(own) for name, own in variants.items()}
    common = check(scenario)
    if names or common:
        every = [problem for each in (common, *problems.values()) for problem in each]
        if every:
            raise UsageError("; ".join(dict.fromkeys(every)))
    further = tuple(f"{name}: {'; '.join(each)}" for name, each in problems.items() if each)
    return {name: own for name, own in variants.items() if not problems[name]}, (*left_out, *further)

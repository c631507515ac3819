"""The bound of a scenario: the problem, both objectives, and its own policy for comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from planner.catalogue.read import scenario_gpu_rate
from planner.core.demand import Demand
from planner.core.economics.prices import node_hour_micros
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.optimum import Objective, Optimum, Problem, optimise
from planner.planning.plan import plan
from planner.planning.prepare import prepare
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.units import Clock, Progress

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
TIME_LIMIT_S = 20.0
"""Seconds of search per objective by default. Assumed: a day is proven, a week within some 0.02 %."""


@dataclass(frozen=True, kw_only=True)
class ScheduleLimits:
    """Constraints on schedules beyond those of policies: least seconds up and down, dollars per unit that starts."""

    min_up_s: int = 0
    min_down_s: int = 0
    start_usd: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ScenarioBound:
    """The bounds of a scenario, one per requested objective, and the scenario's own policy.

    scenario: with the capacities that were planned with. caution: on what else they were observed.
    """

    scenario: Scenario
    trace: str
    problem: Problem
    optima: tuple[Optimum, ...]
    policy: PlanOutcome
    caution: tuple[str, ...] = ()

    @property
    def first(self) -> Optimum:
        """The bound of the first objective."""
        return self.optima[0]


def problem_of(scenario: Scenario, demand: Demand, limits: ScheduleLimits | None = None) -> Problem:
    """The problem that bounds a scenario's policies: its units, fleet, floor, allowance, prices. Raises UsageError.

    A useful training node-hour is worth what training is charged for it; restoring is worth nothing.
    """
    deployment, economics = Deployment(scenario.fleet), scenario.economics
    hourly = node_hour_micros(scenario_gpu_rate(economics).usd_per_gpu_hour, scenario.fleet.gpus_per_node)
    limits = limits or ScheduleLimits()
    return Problem(
        demand=demand,
        deployment=deployment,
        training=scenario.training,
        floor=deployment.floor(scenario.policy.floor_nodes),
        max_shortfall_ratio=scenario.slo.max_shortfall_ratio,
        node_hour_micros=hourly,
        training_value_ratio=economics.training_rate_ratio if scenario.training.lend else 0.0,
        min_up_s=limits.min_up_s,
        min_down_s=limits.min_down_s,
        start_usd=limits.start_usd,
    )


def bounds_of(
    scenario: Scenario,
    demand: Demand,
    objective: Objective = "node-hours",
    *,
    starts: Sequence[Sequence[Units]] = (),
    limits: ScheduleLimits | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Clock,
) -> Optimum:
    """The least that any policy can spend on a demand, with the schedule that comes nearest. Raises UsageError.

    starts: schedules to begin the search with, for example those of policies. scenario: with its capacities in place.
    """
    starts_at = demand.grid.local_starts(scenario.zone)
    return optimise(
        problem_of(scenario, demand, limits),
        objective,
        starts=starts,
        time_limit_s=time_limit_s,
        clock=clock,
        moment=lambda index: f"{starts_at[index]:%Y-%m-%d %H:%M}",
    )


def bounds(
    store: Store,
    scenario: Scenario,
    objectives: Sequence[Objective],
    *,
    limits: ScheduleLimits | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    now: datetime,
    clock: Clock,
    progress: Progress | None = None,
) -> ScenarioBound:
    """Bounds of a scenario on its trace, drawn if it is not stored yet, and its own policy. Raises UsageError."""
    prepared = prepare(store, scenario, now=now, progress=progress)
    scenario, demand = prepared.scenario, prepared.demand
    policy = plan(prepared)
    optima: list[Optimum] = []
    for objective in objectives:
        starts = [policy.plan.units, *(optimum.schedule.targets for optimum in optima if optimum.schedule)]
        optima.append(
            bounds_of(scenario, demand, objective, starts=starts, limits=limits, time_limit_s=time_limit_s, clock=clock)
        )
    problem = problem_of(scenario, demand, limits)
    return ScenarioBound(
        scenario=scenario,
        trace=prepared.trace.name,
        problem=problem,
        optima=tuple(optima),
        policy=policy,
        caution=prepared.caution,
    )

"""The bound of a scenario: both objectives, its own policy beside them, and the schedule as a timetable."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args

from planner.catalogue.read import gpu_rate, gpu_rates
from planner.core.demand import Demand
from planner.core.economics.prices import node_hour_micros
from planner.core.fleet.deployment import Deployment, Units
from planner.core.optimum import Objective, Optimum, Problem, Schedule, gap, optimise, shortfall
from planner.core.replay.intervals.plan import IntervalPlan
from planner.errors import PlannerError, UsageError
from planner.files import whole
from planner.planning.plan import plan
from planner.planning.prepare import prepare
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.units import S_PER_HOUR, Progress

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
TIME_LIMIT_S = 20.0
"""Seconds of search per objective unless told otherwise. Assumed: a day is proven, a week within some 0.02 %."""

COST_NOTE = (
    "cost is net of useful training, a node-hour of which is worth economics.training_rate_ratio times its price; "
    "restoring is worth nothing"
)


@dataclass(frozen=True)
class Further:
    """What schedules keep to beyond what policies do: seconds up and down at least, dollars per unit that starts."""

    min_up_s: int = 0
    min_down_s: int = 0
    start_usd: float = 0.0


@dataclass(frozen=True)
class Bound:
    """The bounds of a scenario, one per objective asked for, and the scenario's own policy.

    scenario: with the capacities that were planned with.
    """

    scenario: Scenario
    trace: str
    problem: Problem
    optima: tuple[Optimum, ...]
    policy: PlanOutcome

    @property
    def first(self) -> Optimum:
        return self.optima[0]

    def document(self) -> dict[str, Any]:
        """Bound, schedule and policy, JSON-ready; `bound`, `schedule` and `timetable` are of the first objective.

        timetable: the best schedule that drains before boundaries; mostly the schedule itself.
        """
        problem = self.problem
        return {
            "scenario": self.scenario.name,
            "trace": self.trace,
            "interval_s": problem.interval_s,
            "intervals": problem.count,
            "max_shortfall_ratio": problem.max_shortfall_ratio,
            "allowed_shortfall_tokens": problem.allowed_tokens,
            "min_up_s": problem.min_up_s,
            "min_down_s": problem.min_down_s,
            "start_usd": problem.start_usd,
            "bound": {**self.first.document(), **self._bounds()},
            "schedule": self._schedule(self.first.schedule),
            "timetable": self._schedule(self.first.timetable),
            "policy": self.policy_document(),
            "objectives": [
                {**optimum.document(), "schedule": self._schedule(optimum.schedule)} for optimum in self.optima
            ],
            "notes": [COST_NOTE],
        }

    def policy_document(self) -> dict[str, Any]:
        """The scenario's own policy, and how far above each bound it lies."""
        found = self._figures(self.policy.plan)
        values = {"node-hours": found["node_hours"], "cost": found["cost_usd"]}
        gaps = {one.objective: gap(values[one.objective], one.bound) for one in self.optima}
        return {
            "policy": self.policy.policy,
            **found,
            "within_allowance": found["shortfall_tokens"] <= self.problem.allowed_tokens,
            "gap_to_bound": gaps[self.first.objective],
            "gaps_to_bound": gaps,
        }

    def _bounds(self) -> dict[str, float | None]:
        found = {optimum.objective: optimum.bound for optimum in self.optima}
        return {"node_hours": found.get("node-hours"), "cost_usd": found.get("cost")}

    def _schedule(self, schedule: Schedule | None) -> dict[str, Any] | None:
        if schedule is None:
            return None
        return {"drain": "before the boundary" if schedule.ahead else "after it", **self._figures(schedule.plan)}

    def _figures(self, plan: IntervalPlan) -> dict[str, Any]:
        """What a replayed plan comes to."""
        problem = self.problem
        missing = sum(int(tokens.sum()) for tokens in shortfall(plan))
        node_s = {objective: problem.value(plan, objective) for objective in OBJECTIVES}
        return {
            "node_hours": problem.in_units(node_s["node-hours"], "node-hours"),
            "cost_usd": problem.in_units(node_s["cost"], "cost"),
            "inference_cost_usd": problem.in_units(node_s["node-hours"], "cost"),
            "useful_training_node_hours": int(plan.training_node_s.sum()) / S_PER_HOUR,
            "peak_nodes": int(plan.inference_nodes.max()),
            "shortfall_tokens": missing,
            "shortfall_ratio": missing / problem.tokens if problem.tokens else 0.0,
        }


def problem_of(scenario: Scenario, demand: Demand, further: Further | None = None) -> Problem:
    """What the policies of a scenario are bounded under: its units, fleet, floor, allowance, prices. Raises UsageError.

    A useful training node-hour is worth what training is charged for it; restoring is worth nothing.
    """
    deployment, economics = Deployment(scenario.fleet), scenario.economics
    rate = gpu_rate(gpu_rates(economics.gpu_rates), economics.gpu_rate)
    further = further or Further()
    return Problem(
        demand,
        deployment,
        scenario.training,
        deployment.floor(scenario.policy.floor_nodes),
        scenario.slo.max_shortfall_ratio,
        node_hour_micros(rate.usd_per_gpu_hour, scenario.fleet.gpus_per_node),
        economics.training_rate_ratio if scenario.training.lend else 0.0,
        further.min_up_s,
        further.min_down_s,
        further.start_usd,
    )


def bounds_of(
    scenario: Scenario,
    demand: Demand,
    objective: Objective = "node-hours",
    *,
    starts: Sequence[Sequence[Units]] = (),
    further: Further | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    clock: Callable[[], float],
) -> Optimum:
    """The least that any policy can spend on a demand, with the schedule that comes nearest. Raises UsageError.

    Its `document` has the keys of `bound` in comparisons: node_hours (or cost_usd), status, gap, seconds.
    starts: schedules to begin the search with, for example those of policies. scenario: with its capacities in place.
    """
    starts_at = demand.grid.local_starts(scenario.zone)
    return optimise(
        problem_of(scenario, demand, further),
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
    further: Further | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    now: datetime,
    clock: Callable[[], float],
    progress: Progress | None = None,
) -> Bound:
    """Bounds of a scenario on its trace, drawn if it is not stored yet, and its own policy. Raises UsageError."""
    prepared = prepare(store, scenario, now=now, progress=progress)
    scenario, demand = prepared.scenario, prepared.demand
    policy = plan(prepared)
    held = zip(policy.plan.prefill_units.tolist(), policy.plan.decode_units.tolist(), strict=True)
    starts = [Units(*units) for units in held]
    optima: list[Optimum] = []
    for objective in objectives:
        known = [starts, *(one.schedule.targets for one in optima if one.schedule)]
        optima.append(
            bounds_of(
                scenario, demand, objective, starts=known, further=further, time_limit_s=time_limit_s, clock=clock
            )
        )
    return Bound(scenario, prepared.trace.name, problem_of(scenario, demand, further), tuple(optima), policy)


def save_timetable(bound: Bound, path: Path) -> None:
    """Write the first objective's best schedule that drains before boundaries, whole or not at all.

    Raises PlannerError.
    """
    schedule = bound.first.timetable
    if schedule is None:
        raise PlannerError(f"no schedule was found to write to {path}; raise --time-limit")
    starts = bound.problem.demand.grid.local_starts(bound.scenario.zone)
    walls = [start.replace(tzinfo=None) for start in starts]
    if len(set(walls)) < len(walls):
        raise UsageError(
            f"{path}: the clock of {bound.scenario.timezone} goes back within the plan, so that a timetable by local "
            "time would be ambiguous; plan with --set timezone=UTC"
        )
    try:
        with whole(path) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("interval_start", "prefill_units", "decode_units"))
            for wall, units in zip(walls, schedule.targets, strict=True):
                writer.writerow((wall.isoformat(timespec="minutes"), units.prefill, units.decode))
    except OSError as error:
        raise PlannerError(f"{path}: cannot be written: {error.strerror}; name another file with --save") from error

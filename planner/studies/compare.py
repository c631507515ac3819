"""Policies side by side on one demand: figures, the bound, cost at equal shortfall, and where each policy loses."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.catalogue.read import gpu_rate, gpu_rates
from planner.core.demand import Demand
from planner.core.economics.prices import node_hour_micros
from planner.core.fleet.deployment import Units
from planner.core.forecast import demand_forecasts, forecaster
from planner.core.optimum import Optimum, gap
from planner.core.policy import POLICIES
from planner.core.replay.intervals.plan import IntervalPlan
from planner.errors import UsageError
from planner.files import version
from planner.planning.capacity import with_modelled_capacity
from planner.planning.check import check
from planner.planning.plan import plan
from planner.planning.prepare import Prepared, ensure_trace, prepare_on
from planner.runs.outcome import PlanOutcome
from planner.runs.write import save_comparison
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.bound import TIME_LIMIT_S, bounds_of
from planner.studies.replay.run import replay
from planner.studies.replay.store import store_replay
from planner.trace.demand import binned
from planner.trace.stored import TraceInfo
from planner.units import S_PER_HOUR, Progress, usd

SOURCES = ("trace", "profile", "previous", "forecast")
TUNABLE = ("night-training", "reactive", "predictive", "scheduled-bounds")
"""Policies whose target utilisation trades nodes for shortfall."""
UTILISATIONS = (0.05, 1.5)
"""Where equal shortfall is searched. Assumed: under a twentieth used nobody would call it a plan; above 1 a policy
falls short on purpose, as the allowance lets it."""
_STEPS = 9
"""Halvings of the search: utilisations then lie within 0.3 points."""


@dataclass(frozen=True)
class Figures:
    """What a plan comes to. wasted_node_hours: those beyond what carries the demand at full use. scale_actions: changes
    of a role's units from one interval to the next."""

    peak_nodes: int
    mean_nodes: float
    node_hours: float
    training_node_hours: float
    cost_usd: float
    revenue_usd: float
    shortfall_tokens: int
    shortfall_ratio: float
    scale_actions: int
    wasted_node_hours: float


@dataclass(frozen=True)
class Level:
    """A policy at the highest target utilisation whose shortfall is within the allowance; None where it has none."""

    target_utilisation: float | None
    figures: Figures


@dataclass(frozen=True)
class Candidate:
    """One policy of a comparison. name: policy, or policy@demand-source. seconds: to decide, replay and price it."""

    name: str
    outcome: PlanOutcome
    figures: Figures
    level: Level | None
    seconds: float


@dataclass(frozen=True)
class Comparison:
    """Policies on one demand, and the bound on the node-hours of any policy. scenario: with its capacities."""

    scenario: Scenario
    trace: TraceInfo
    demand: Demand
    candidates: tuple[Candidate, ...]
    bound: Optimum
    left_out: tuple[str, ...]

    @property
    def plans(self) -> dict[str, IntervalPlan]:
        """Plans by policy, and the best schedule that was found."""
        found = {candidate.name: candidate.outcome.plan for candidate in self.candidates}
        return found if self.bound.schedule is None else {**found, "best schedule": self.bound.schedule.plan}


def default_policies(scenario: Scenario, demand: Demand) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The policies that are compared where none are named, and why others are left out."""
    names = ["fixed", "night-training", "reactive", "predictive@previous", "slo@previous", "oracle"]
    maker = forecaster(scenario.forecast.method, demand.grid.interval_s, scenario.forecast.season)
    if demand.grid.count <= maker.needs:
        return tuple(names), (
            f"predictive@forecast: {scenario.forecast.method} needs over {maker.needs} intervals of history and the "
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
    clock: Callable[[], float],
    progress: Progress | None = None,
) -> Comparison:
    """Policies on the scenario's trace, drawn if it is not stored. names: empty for the usual ones.

    level: whether each is also tuned to the allowed shortfall. Nothing but a drawn trace is stored. Raises UsageError.
    """
    trace = ensure_trace(store, scenario, now=now, progress=progress)
    with store.read() as session:
        demand = binned(session, trace, scenario.interval_s, scenario.zone)
        scenarios, left_out = _variants(scenario, demand, names)
        variants = {name: prepare_on(session, own, trace, demand) for name, own in scenarios.items()}
        scenario = with_modelled_capacity(session, scenario, trace)
    candidates = []
    for name, prepared in variants.items():
        begin = clock()
        outcome = plan(prepared)
        seconds = clock() - begin
        tuned = _level(prepared, outcome) if level else None
        candidates.append(Candidate(name, outcome, figures(outcome), tuned, seconds))
    starts = [_targets(candidate.outcome) for candidate in candidates]
    bound = bounds_of(scenario, demand, "node-hours", starts=starts, time_limit_s=time_limit_s, clock=clock)
    return Comparison(scenario, trace, demand, tuple(candidates), bound, left_out)


def _variants(scenario: Scenario, demand: Demand, names: Sequence[str]) -> tuple[dict[str, Scenario], tuple[str, ...]]:
    """Scenarios by policy, and why usual ones are left out. Raises UsageError for a named one that cannot be had."""
    wanted, left_out = (tuple(names), ()) if names else default_policies(scenario, demand)
    variants = {name: variant(scenario, name) for name in wanted}
    problems = {name: check(own) for name, own in variants.items()}
    common = check(scenario)
    if names or common:
        every = [problem for found in (common, *problems.values()) for problem in found]
        if every:
            raise UsageError("; ".join(dict.fromkeys(every)))
    further = tuple(f"{name}: {'; '.join(found)}" for name, found in problems.items() if found)
    return {name: own for name, own in variants.items() if not problems[name]}, (*left_out, *further)


def _targets(outcome: PlanOutcome) -> list[Units]:
    held = zip(outcome.plan.prefill_units.tolist(), outcome.plan.decode_units.tolist(), strict=True)
    return [Units(*units) for units in held]


def figures(outcome: PlanOutcome) -> Figures:
    """What a plan comes to; as the view run_summary has it."""
    plan, grid = outcome.plan, outcome.plan.grid
    tokens = int(outcome.demand.input_tokens.sum() + outcome.demand.output_tokens.sum())
    short = int(short_tokens(outcome).sum())
    node_s = int(plan.inference_node_s.sum())
    return Figures(
        peak_nodes=int(plan.inference_nodes.max()),
        mean_nodes=node_s / grid.length_s,
        node_hours=node_s / S_PER_HOUR,
        training_node_hours=int((plan.training_node_s + plan.restoring_node_s).sum()) / S_PER_HOUR,
        cost_usd=usd(sum(outcome.costs.inference)),
        revenue_usd=usd(sum(outcome.revenue.theoretical)),
        shortfall_tokens=short,
        shortfall_ratio=short / tokens if tokens else 0.0,
        scale_actions=int(np.count_nonzero(np.diff(plan.prefill_units)) + np.count_nonzero(np.diff(plan.decode_units))),
        wasted_node_hours=float(wasted_node_s(outcome).sum()) / S_PER_HOUR,
    )


def short_tokens(outcome: PlanOutcome) -> NDArray[np.int64]:
    """Tokens of either kind beyond the capacity, by interval."""
    plan = outcome.plan
    found: NDArray[np.int64] = (
        plan.steady_shortfall_input_tokens
        + plan.steady_shortfall_output_tokens
        + plan.start_up_shortfall_input_tokens
        + plan.start_up_shortfall_output_tokens
    )
    return found


def wasted_node_s(outcome: PlanOutcome) -> NDArray[np.float64]:
    """Node-seconds of inference beyond those that carry what was carried at full use, by interval."""
    plan, fleet = outcome.plan, outcome.scenario.fleet
    carried = (
        np.minimum(outcome.demand.input_tokens, plan.prefill_serving_tokens) / fleet.prefill.tokens_per_s_per_node
        + np.minimum(outcome.demand.output_tokens, plan.decode_serving_tokens) / fleet.decode.tokens_per_s_per_node
    )
    found: NDArray[np.float64] = plan.inference_node_s - carried
    return found


def _level(prepared: Prepared, outcome: PlanOutcome) -> Level | None:
    """The cheapest that the policy can be within the allowed shortfall, by its target utilisation."""
    allowed = outcome.scenario.slo.max_shortfall_ratio
    own = figures(outcome)
    if outcome.scenario.policy.name not in TUNABLE:
        return Level(None, own) if own.shortfall_ratio <= allowed else None

    def at(utilisation: float) -> Figures:
        return figures(plan(prepared.at_utilisation(utilisation)))

    best: Level | None = None
    low, high = UTILISATIONS
    for utilisation in (high, low):
        found = at(utilisation)
        if found.shortfall_ratio <= allowed:
            best = Level(utilisation, found)
            break
    if best is None or best.target_utilisation == high:
        return best
    for _ in range(_STEPS):
        middle = (low + high) / 2
        found = at(middle)
        if found.shortfall_ratio <= allowed:
            low, best = middle, Level(middle, found)
        else:
            high = middle
    return best


def document(found: Comparison) -> dict[str, Any]:
    """The comparison, JSON-ready: policies from the least to the most node-hours at equal shortfall."""
    bound, allowed = found.bound, found.scenario.slo.max_shortfall_ratio
    return {
        "scenario": found.scenario.name,
        "trace": found.trace.name,
        "interval_s": found.demand.grid.interval_s,
        "intervals": found.demand.grid.count,
        "max_shortfall_ratio": allowed,
        "policies": [_row(found, candidate) for candidate in ranked(found)],
        "bound": {
            "node_hours": bound.bound,
            "cost_usd": None if bound.bound is None else _cost(found.scenario, bound.bound),
            "schedule_node_hours": bound.schedule.value if bound.schedule else None,
            "status": bound.status,
            "gap": bound.gap,
            "seconds": bound.seconds,
            "lp_node_hours": bound.lp_bound,
            "cure": bound.cure,
        },
        "seconds": sum(candidate.seconds for candidate in found.candidates),
        "notes": [*reasons(found), *(f"left out: {text}" for text in found.left_out)],
    }


def ranked(found: Comparison) -> list[Candidate]:
    """Candidates by node-hours at equal shortfall; those without any last, by shortfall."""

    def key(candidate: Candidate) -> tuple[bool, float]:
        if candidate.level is None:
            return True, candidate.figures.shortfall_ratio
        return False, candidate.level.figures.node_hours

    return sorted(found.candidates, key=key)


def _row(found: Comparison, candidate: Candidate) -> dict[str, Any]:
    allowed, level, own = found.scenario.slo.max_shortfall_ratio, candidate.level, candidate.figures
    within = own.shortfall_ratio <= allowed
    return {
        "policy": candidate.name,
        "demand_source": candidate.outcome.demand_source,
        **asdict(own),
        "within_allowance": within,
        # the bound is one on policies within the allowance: it says nothing of others
        "gap_to_bound": gap(own.node_hours, found.bound.bound) if within else None,
        "at_equal_shortfall": None
        if level is None
        else {
            "target_utilisation": level.target_utilisation,
            "node_hours": level.figures.node_hours,
            "cost_usd": level.figures.cost_usd,
            "shortfall_ratio": level.figures.shortfall_ratio,
            "gap_to_bound": gap(level.figures.node_hours, found.bound.bound),
        },
        "loses": losses(found, candidate),
        "seconds": candidate.seconds,
        "notes": list(candidate.outcome.notes),
    }


def losses(found: Comparison, candidate: Candidate) -> dict[str, Any]:
    """Where a policy loses: the hour of the day with the most nodes above the bound's schedule, the shortest hour."""
    starts = found.demand.grid.local_starts(found.scenario.zone)
    hour_of_day = np.array([start.hour for start in starts])
    short = short_tokens(candidate.outcome)
    worst: dict[str, Any] = {
        "shortest_hour": None,
        "shortest_hour_tokens": 0,
        "dearest_hour": None,
        "dearest_nodes": None,
    }
    if short.sum():
        stamps = [start.strftime("%Y-%m-%d %H:00") for start in starts]
        names, places = np.unique(stamps, return_inverse=True)
        totals = np.bincount(places, weights=short)
        top = int(np.argmax(totals))
        worst |= {"shortest_hour": str(names[top]), "shortest_hour_tokens": int(totals[top])}
    schedule = found.bound.schedule
    if schedule is not None:
        above = (
            candidate.outcome.plan.inference_node_s - schedule.plan.inference_node_s
        ) / found.demand.grid.interval_s
        means = [
            float(above[hour_of_day == hour].mean()) if (hour_of_day == hour).any() else -np.inf for hour in range(24)
        ]
        top = int(np.argmax(means))
        if means[top] > 0:
            worst |= {"dearest_hour": f"{top:02d}:00", "dearest_nodes": means[top]}
    return worst


def reasons(found: Comparison) -> list[str]:
    """Where a forecast does not pay against reacting, and why, in figures."""
    by_name = {candidate.name: candidate for candidate in found.candidates}
    reactive, ahead = by_name.get("reactive"), by_name.get("predictive@forecast")
    if reactive is None or ahead is None or reactive.level is None or ahead.level is None:
        return []
    more = ahead.level.figures.node_hours / reactive.level.figures.node_hours - 1
    if more < 0:
        return [f"predictive@forecast takes {-more:.1%} fewer node-hours than reactive at equal shortfall"]
    scenario, output = found.scenario, found.demand.output_tokens.astype(np.float64)
    method, season = scenario.forecast.method, scenario.forecast.season
    middle = demand_forecasts(found.demand, method, 2, None, season)
    planned = demand_forecasts(found.demand, method, 2, scenario.policy.quantile, season)
    known = slice(planned.first_known + 1, None)
    told = slice(planned.first_known, -1)
    actual = output[known]
    missed = _share(middle.output_tokens[told, 1] - actual, actual)
    changed = _share(np.diff(output)[planned.first_known :], actual)
    beside = planned.output_tokens[told, 1].sum() / actual.sum() - 1
    return [
        f"predictive@forecast takes {more:.1%} more node-hours than reactive at equal shortfall: its forecasts miss "
        f"the output tokens by {missed:.1%} (WAPE), the interval before by {changed:.1%}; the "
        f"{scenario.policy.quantile:.0%} quantile that it plans for lies {beside:+.1%} beside what "
        f"came; {planned.first_known + 1} of {len(output)} intervals come before the first forecast, on the full fleet"
    ]


def _share(missed: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    return float(np.abs(missed).sum() / actual.sum())


def _cost(scenario: Scenario, node_hours: float) -> float:
    economics = scenario.economics
    rate = gpu_rate(gpu_rates(economics.gpu_rates), economics.gpu_rate)
    return node_hours * usd(node_hour_micros(rate.usd_per_gpu_hour, scenario.fleet.gpus_per_node))


def store_comparison(
    store: Store, found: Comparison, *, now: datetime, attainment: dict[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Store every policy's run and the comparison in one transaction; the document with their ids.

    attainment: what replays of the policies measured, by name.
    """
    told = document(found)
    rows = told["policies"]
    for row in rows:
        row["slo"] = (attainment or {}).get(row["policy"])
    outcomes = {candidate.name: candidate.outcome for candidate in found.candidates}
    bound = told["bound"]
    stored = [
        {
            "policy": row["policy"],
            "node_hours": row["node_hours"],
            "cost_usd": row["cost_usd"],
            "shortfall_ratio": row["shortfall_ratio"],
            "scale_actions": row["scale_actions"],
            "wasted_node_hours": row["wasted_node_hours"],
            "gap_to_bound": row["gap_to_bound"],
            "level_utilisation": (row["at_equal_shortfall"] or {}).get("target_utilisation"),
            "level_node_hours": (row["at_equal_shortfall"] or {}).get("node_hours"),
            "level_gap_to_bound": (row["at_equal_shortfall"] or {}).get("gap_to_bound"),
            "ttft_attainment": (row["slo"] or {}).get("ttft_attainment"),
            "tpot_attainment": (row["slo"] or {}).get("tpot_attainment"),
            "bound_node_hours": bound["node_hours"],
            "bound_status": bound["status"],
        }
        for row in rows
    ]
    comparison_id, run_ids = save_comparison(store, outcomes, stored, now=now, version=version())
    for row in rows:
        row["run_id"] = run_ids[row["policy"]]
    return {"comparison_id": comparison_id, **told}


def attainments(
    store: Store,
    found: Comparison,
    *,
    now: datetime,
    clock: Callable[[], float],
    progress: Progress | None = None,
) -> dict[str, dict[str, Any]]:
    """What a replay of the busiest hour measures of every policy's targets, by name; replays are stored."""
    measured = {}
    for candidate in found.candidates:
        done = replay(store, candidate.outcome.scenario, now=now, clock=clock, progress=progress)
        run_id, document = store_replay(store, done, now=now)
        measured[candidate.name] = {
            **vars(document.slo),
            "run_id": run_id,
            "window_start": document.window_start.isoformat(),
            "window_end": document.window_end.isoformat(),
        }
    return measured

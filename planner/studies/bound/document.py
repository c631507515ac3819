"""The document of a bound: what is proven, the best schedules and the scenario's own policy."""

from dataclasses import dataclass
from typing import Literal

from planner.core.optimum import FeasibleSchedule, Objective, Optimum, Problem, ProofDocument, gap
from planner.core.replay.intervals.plan import IntervalPlan
from planner.documents import Document
from planner.planning.selection import selection_notes
from planner.studies.bound.run import ScenarioBound
from planner.units import S_PER_HOUR, Ints

COST_NOTE = (
    "cost is net of useful training, a node-hour of which is worth economics.training_rate_ratio times its price; "
    "restoring is worth nothing"
)


@dataclass(frozen=True, kw_only=True)
class FirstBound(ProofDocument):
    """The bound of the first objective, and those of both by name."""

    schedule: float | None
    """Value of the best schedule that was found."""
    node_hours: float | None
    """Bound on the node-hours of inference; null if it was not asked for."""
    cost_usd: float | None
    """Bound on the cost less the value of useful training; null if it was not asked for."""


@dataclass(frozen=True, kw_only=True)
class ReplayedFigures(Document):
    """The figures of a replayed plan."""

    node_hours: float
    """Node-hours of inference."""
    cost_usd: float
    """Cost of inference less the value of useful training, with starts where they cost something."""
    inference_cost_usd: float
    """Cost of inference alone."""
    useful_training_node_hours: float
    """Node-hours of training, without restoring."""
    peak_nodes: int
    """Most nodes that inference holds."""
    shortfall_tokens: int
    """Tokens beyond the capacity."""
    shortfall_ratio: float
    """Tokens beyond the capacity over all tokens."""


@dataclass(frozen=True, kw_only=True)
class UnitsHeld(Document):
    """Units of a role that a schedule holds."""

    least: int
    mean: float
    """Mean over the intervals."""
    most: int


@dataclass(frozen=True, kw_only=True)
class BestSchedule(ReplayedFigures):
    """A schedule that the replay has run, within the allowance."""

    prefill_units: UnitsHeld
    decode_units: UnitsHeld
    aggregated_units: UnitsHeld
    """Units that do both; 0 where serving is disaggregated, as those of the other roles are where it is aggregated."""
    decode_per_prefill: float | None
    """Decode units for each prefill unit, of the means: the ratio in which the demand takes units; null where units do
    both."""
    drain: Literal["before the boundary", "after it"]
    """When departing units begin to drain."""


@dataclass(frozen=True, kw_only=True)
class BoundedPolicy(ReplayedFigures):
    """The scenario's own policy, and how far above each bound it lies."""

    policy: str
    within_allowance: bool
    """Whether the shortfall is within slo.max_shortfall_ratio; if not, the bound does not apply to the policy."""
    gap_to_bound: float | None
    """Policy over the bound of the first objective, less 1."""
    gaps_to_bound: dict[Objective, float | None]
    """The same for every objective."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveBound(ProofDocument):
    """The bound of one objective, and the best schedule."""

    schedule: BestSchedule | None


@dataclass(frozen=True, kw_only=True)
class NodeHoursBound(ObjectiveBound):
    """The bound on the node-hours of inference."""

    node_hours: float | None
    """The same as `bound`."""


@dataclass(frozen=True, kw_only=True)
class CostBound(ObjectiveBound):
    """The bound on the cost."""

    cost_usd: float | None
    """The same as `bound`."""


@dataclass(frozen=True, kw_only=True)
class BoundDocument(Document):
    """The bounds of a scenario, the schedules that come nearest, and its own policy.

    `bound`, `schedule` and `timetable` are those of the first objective.
    """

    scenario: str
    trace: str
    interval_s: int
    intervals: int
    max_shortfall_ratio: float
    """Shortfall that slo.max_shortfall_ratio allows, over all tokens."""
    allowed_shortfall_tokens: int
    """The same in tokens."""
    min_up_s: int
    """Schedules keep a started unit at least this long."""
    min_down_s: int
    """Schedules keep a stopped unit off at least this long."""
    start_usd: float
    """Cost of starting a unit."""
    bound: FirstBound
    schedule: BestSchedule | None
    """The best schedule that was found."""
    timetable: BestSchedule | None
    """The best schedule that drains before boundaries, as a timetable does; usually the schedule itself."""
    policy: BoundedPolicy
    objectives: tuple[NodeHoursBound | CostBound, ...]
    notes: tuple[str, ...]


def describe_bound(bound: ScenarioBound) -> BoundDocument:
    """The document of a bound."""
    problem, first = bound.problem, bound.first
    values = {optimum.objective: optimum.bound for optimum in bound.optima}
    return BoundDocument(
        scenario=bound.scenario.name,
        trace=bound.trace,
        interval_s=problem.interval_s,
        intervals=problem.count,
        max_shortfall_ratio=problem.max_shortfall_ratio,
        allowed_shortfall_tokens=problem.allowed_tokens,
        min_up_s=problem.min_up_s,
        min_down_s=problem.min_down_s,
        start_usd=problem.start_usd,
        bound=FirstBound(
            **vars(first.proof),
            schedule=first.schedule.value if first.schedule else None,
            node_hours=values.get("node-hours"),
            cost_usd=values.get("cost"),
        ),
        schedule=_schedule(problem, first.schedule),
        timetable=_schedule(problem, first.timetable),
        policy=_policy(bound),
        objectives=tuple(_objective(problem, optimum) for optimum in bound.optima),
        notes=(
            *bound.caution,
            COST_NOTE,
            *_shared_notes(problem),
            *selection_notes(bound.scenario, bound.policy.trace),
        ),
    )


def _shared_notes(problem: Problem) -> tuple[str, ...]:
    """What limits on schedules mean where several units share a node."""
    units = problem.deployment.units_per_node
    if units == 1 or not (problem.min_up_s or problem.min_down_s or problem.start_usd):
        return ()
    return (
        f"{units} units share a node: minimum times are of nodes, whose units come and go together, and the bound "
        "charges a node that starts for one unit at least; schedules and policies are charged for each",
    )


def _objective(problem: Problem, optimum: Optimum) -> NodeHoursBound | CostBound:
    shared, schedule = vars(optimum.proof), _schedule(problem, optimum.schedule)
    if optimum.objective == "node-hours":
        return NodeHoursBound(**shared, schedule=schedule, node_hours=optimum.bound)
    return CostBound(**shared, schedule=schedule, cost_usd=optimum.bound)


def _schedule(problem: Problem, schedule: FeasibleSchedule | None) -> BestSchedule | None:
    if schedule is None:
        return None
    drain: Literal["before the boundary", "after it"] = "before the boundary" if schedule.ahead else "after it"
    prefill, decode = _held(schedule.plan.prefill_units), _held(schedule.plan.decode_units)
    return BestSchedule(
        **vars(_figures(problem, schedule.plan)),
        prefill_units=prefill,
        decode_units=decode,
        aggregated_units=_held(schedule.plan.aggregated_units),
        decode_per_prefill=None if problem.deployment.aggregated else decode.mean / prefill.mean,
        drain=drain,
    )


def _held(units: Ints) -> UnitsHeld:
    return UnitsHeld(least=int(units.min()), mean=float(units.mean()), most=int(units.max()))


def _policy(bound: ScenarioBound) -> BoundedPolicy:
    figures = _figures(bound.problem, bound.policy.plan)
    values: dict[Objective, float] = {"node-hours": figures.node_hours, "cost": figures.cost_usd}
    gaps = {optimum.objective: gap(values[optimum.objective], optimum.bound) for optimum in bound.optima}
    return BoundedPolicy(
        **vars(figures),
        policy=bound.policy.policy,
        within_allowance=figures.shortfall_tokens <= bound.problem.allowed_tokens,
        gap_to_bound=gaps[bound.first.objective],
        gaps_to_bound=gaps,
    )


def _figures(problem: Problem, plan: IntervalPlan) -> ReplayedFigures:
    short = int(plan.shortfall_tokens.sum())
    inference_s, net_s = problem.value(plan, "node-hours"), problem.value(plan, "cost")
    return ReplayedFigures(
        node_hours=problem.in_units(inference_s, "node-hours"),
        cost_usd=problem.in_units(net_s, "cost"),
        inference_cost_usd=problem.in_units(inference_s, "cost"),
        useful_training_node_hours=int(plan.training_node_s.sum()) / S_PER_HOUR,
        peak_nodes=int(plan.inference_nodes.max()),
        shortfall_tokens=short,
        shortfall_ratio=short / problem.tokens if problem.tokens else 0.0,
    )

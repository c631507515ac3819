"""Bound, schedule and gap: relaxation first, then branch and bound for both classes of policies. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.core.fleet.deployment import Units
from planner.core.optimum.documents import (
    ClassBoundDocument,
    CostOptimumDocument,
    NodeHoursOptimumDocument,
    OptimumDocument,
    ProofDocument,
    Status,
)
from planner.core.optimum.problem import Objective, Problem, shortfall
from planner.core.optimum.program import Program
from planner.core.optimum.schedules import foreseeing, keeps_times, mended
from planner.core.optimum.solver import relaxation, search
from planner.core.replay.intervals.plan import IntervalPlan
from planner.units import Clock

PROVEN = 1e-6
"""Largest gap, as a share, that counts as none. Assumed: over the solver's rounding, far under a unit in a plan."""
AHEAD_SHARE = 0.8
"""Share of the time for policies that know targets ahead. Measured: the late ones are ruled out in a tenth of it."""
LONG = 96
"""Intervals above which schedules are first improved window by window. Measured: so many are solved at once."""
WINDOW = 72
"""Intervals of a window. Measured: searched in a second or two."""
WINDOW_S = 2.0
"""Seconds of search in a window at most. Measured: most windows take less."""
WINDOW_SHARE = 0.4
"""Share of the time for windows. Measured: the bound needs the rest."""


@dataclass(frozen=True, kw_only=True)
class FeasibleSchedule:
    """A schedule that the interval replay accepts within the allowance. value: in the objective's unit.

    ahead: whether leaving units drain before the boundary, as those of a timetable do.
    """

    targets: tuple[Units, ...]
    ahead: bool
    value: float
    plan: IntervalPlan
    shortfall_tokens: int


@dataclass(frozen=True, kw_only=True)
class Side:
    """The bound of one class of policies, in the objective's unit; infinite where none is within the allowance.

    bound: at least lp_bound. finished: whether the search ended by itself. Seconds are wall-clock time.
    """

    ahead: bool
    lp_bound: float
    lp_seconds: float
    bound: float
    seconds: float
    finished: bool


@dataclass(frozen=True, kw_only=True)
class Optimum:
    """What is known of the least value. bound <= value of every policy within the allowance.

    gap: (schedule - bound) / |bound|. timetable: the best schedule known ahead. cure: what an infeasible problem lacks.
    """

    objective: Objective
    status: Status
    sides: tuple[Side, ...]
    schedule: FeasibleSchedule | None
    timetable: FeasibleSchedule | None
    cure: str | None

    @property
    def bound(self) -> float | None:
        proven = min(side.bound for side in self.sides)
        return _finite(proven if self.schedule is None else min(proven, self.schedule.value))

    @property
    def lp_bound(self) -> float | None:
        return _finite(min(side.lp_bound for side in self.sides))

    @property
    def seconds(self) -> float:
        return sum(side.seconds + side.lp_seconds for side in self.sides)

    @property
    def lp_seconds(self) -> float:
        return sum(side.lp_seconds for side in self.sides)

    @property
    def gap(self) -> float | None:
        return None if self.schedule is None else gap(self.schedule.value, self.bound)

    @property
    def proof(self) -> ProofDocument:
        """Status, bounds, gap and seconds; values in hours or dollars."""
        return ProofDocument(
            objective=self.objective,
            status=self.status,
            bound=self.bound,
            gap=self.gap,
            seconds=self.seconds,
            lp_bound=self.lp_bound,
            lp_seconds=self.lp_seconds,
            policies=tuple(
                ClassBoundDocument(
                    drain="before the boundary" if side.ahead else "after the boundary",
                    lp_bound=_finite(side.lp_bound),
                    bound=_finite(side.bound),
                    finished=side.finished,
                )
                for side in self.sides
            ),
            cure=self.cure,
        )

    def document(self) -> OptimumDocument:
        """The proof with the value of the best schedule, and the bound under the objective's own key."""
        proof, value = vars(self.proof), self.schedule.value if self.schedule else None
        if self.objective == "node-hours":
            return NodeHoursOptimumDocument(**proof, schedule=value, node_hours=self.bound)
        return CostOptimumDocument(**proof, schedule=value, cost_usd=self.bound)


def gap(value: float, bound: float | None) -> float | None:
    """How far a value lies above the bound, as a share of it; None without a bound, or where that is 0."""
    return (value - bound) / abs(bound) if bound else None


def optimise(
    problem: Problem,
    objective: Objective,
    *,
    starts: Sequence[Sequence[Units]] = (),
    time_limit_s: float,
    clock: Clock,
    moment: Callable[[int], str] = str,
) -> Optimum:
    """The bound on every policy, and the best schedule found. starts: schedules to begin with, of any quality.

    time_limit_s: for both searches together; relaxations and replays come on top. clock: seconds. moment: an
    interval's number in words.
    """
    sides = []
    for ahead in (True, False):
        if ahead or problem.deployment.settings.drain_deadline_s:  # without draining both are the same
            begin = clock()
            relaxed = relaxation(Program(problem, objective, ahead=ahead))
            value = _value(problem, objective, relaxed[0] if relaxed else math.inf)
            sides.append(
                Side(
                    ahead=ahead,
                    lp_bound=value,
                    lp_seconds=clock() - begin,
                    bound=value,
                    seconds=0.0,
                    finished=relaxed is None,
                )
            )
    if all(math.isinf(side.lp_bound) for side in sides):
        return Optimum(
            objective=objective,
            status="infeasible",
            sides=tuple(sides),
            schedule=None,
            timetable=None,
            cure=_cure(problem, moment),
        )
    found = [_schedule(problem, objective, targets, ahead=True) for targets in (*starts, *foreseeing(problem))]
    for number, side in enumerate(sides):
        if side.finished:
            continue
        begin, left = clock(), time_limit_s - sum(done.seconds for done in sides)
        limit = left * AHEAD_SHARE if number + 1 < len(sides) else left
        best = _least(found)
        program = Program(problem, objective, ahead=side.ahead)
        if best and side.ahead:
            best = _improved(problem, objective, best, begin + limit * WINDOW_SHARE, clock)
            found.append(best)
            limit -= clock() - begin
        program = Program(problem, objective, ahead=side.ahead)
        if best is None:
            result = search(program, max(limit, 0.0))
        elif side.ahead:
            result = search(program, max(limit, 0.0), start=best.targets)
        else:  # only what is better than the best so far is of interest
            result = search(program, max(limit, 0.0), under=_node_intervals(problem, objective, best.value))
        if result.targets is not None:
            found.append(_schedule(problem, objective, result.targets, ahead=side.ahead))
        bound = max(side.lp_bound, _value(problem, objective, result.bound))
        sides[number] = replace(side, bound=bound, seconds=clock() - begin, finished=result.finished)
    best, timetable = _least(found), _least([one for one in found if one and one.ahead])
    if best is None and all(math.isinf(side.bound) for side in sides):
        return Optimum(
            objective=objective,
            status="infeasible",
            sides=tuple(sides),
            schedule=None,
            timetable=None,
            cure=_cure(problem, moment),
        )
    return Optimum(
        objective=objective,
        status=_status(sides, best),
        sides=tuple(sides),
        schedule=best,
        timetable=timetable,
        cure=None,
    )


def _improved(
    problem: Problem, objective: Objective, best: FeasibleSchedule, until: float, clock: Clock
) -> FeasibleSchedule:
    """The best of schedules that differ from the last in one window of a long plan, window by window, up to a time."""
    if problem.count <= LONG:
        return best
    for first in (*range(0, problem.count, WINDOW), *range(-WINDOW // 2, problem.count, WINDOW)):
        left = until - clock()
        if left <= 0:
            break
        program = Program(problem, objective, ahead=True)
        window = range(first, first + WINDOW)
        result = search(program, min(WINDOW_S, left), start=best.targets, window=window)
        tried = _schedule(problem, objective, result.targets, ahead=True) if result.targets else None
        best = min(best, tried, key=lambda one: one.value) if tried else best
    return best


def _status(sides: Sequence[Side], best: FeasibleSchedule | None) -> Status:
    if best is None:
        return "no schedule found"
    if best.value - min(side.bound for side in sides) <= PROVEN * abs(best.value):
        return "optimal"
    return "feasible (relaxed)" if all(side.finished for side in sides) else "feasible (time limit)"


def _schedule(
    problem: Problem, objective: Objective, targets: Sequence[Units], *, ahead: bool
) -> FeasibleSchedule | None:
    """The schedule as the replay runs it, mended where it falls short of the allowance; None where it cannot be."""
    held = mended(problem, targets, ahead=ahead)
    if held is None or not keeps_times(problem, held):
        return None
    plan = problem.replay(held, ahead=ahead)
    missing = sum(int(tokens.sum()) for tokens in shortfall(plan))
    value = problem.in_units(problem.value(plan, objective), objective)
    return FeasibleSchedule(targets=tuple(held), ahead=ahead, value=value, plan=plan, shortfall_tokens=missing)


def _least(found: Sequence[FeasibleSchedule | None]) -> FeasibleSchedule | None:
    return min((one for one in found if one), key=lambda one: one.value, default=None)


def _value(problem: Problem, objective: Objective, node_intervals: float) -> float:
    return problem.in_units(node_intervals * problem.interval_s, objective)


def _node_intervals(problem: Problem, objective: Objective, value: float) -> float:
    one = problem.in_units(problem.interval_s, objective)
    return value / one if one else math.inf


def _cure(problem: Problem, moment: Callable[[int], str]) -> str:
    """What an infeasible problem lacks, and where."""
    program = Program(problem, None, ahead=False)
    relaxed = relaxation(program)
    assert relaxed is not None, "with all the shortfall that there is, every schedule is a solution"
    missing = program.short_tokens(relaxed[1])
    worst = max(range(problem.count), key=lambda t: sum(missing[t]))
    role = max((0, 1), key=lambda number: missing[worst][number])
    name, kind = (("prefill", "input"), ("decode", "output"))[role]
    ratio = max(relaxed[0], 0.0) * program.token_unit / problem.tokens
    fewest = sum(units.covering(problem.interval_s) * units.nodes for units in problem.roles)
    where = f"most at {moment(worst)}, where {name} units lack {missing[worst][role]:,.0f} {kind} tokens"
    if ratio <= problem.max_shortfall_ratio:  # fractions of units would do
        ratio, where = problem.max_shortfall_ratio, f"the fullest at {moment(int(np.argmax(fewest)))}"
    return (
        f"no schedule of {problem.nodes} nodes is within slo.max_shortfall_ratio of {problem.max_shortfall_ratio:.3%}: "
        f"over {ratio:.3%} of tokens fall short, {where}; raise it, or fleet.nodes: "
        f"{int(np.max(fewest))} carry the fullest interval"
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

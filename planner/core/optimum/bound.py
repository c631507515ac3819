"""The search for an optimum: relaxation first, then branch and bound for both classes of policies. Pure.

The classes are those of `planner.core.optimum.program`: policies that know targets ahead, and late ones. The lower of
their bounds holds for every policy, and the better of their schedules is the best that was found.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from planner.core.fleet.units import Units
from planner.core.optimum.documents import Status
from planner.core.optimum.problem import Objective, Problem
from planner.core.optimum.program import Program
from planner.core.optimum.results import ClassBound, FeasibleSchedule, Optimum
from planner.core.optimum.schedules import keeps_times, repair, starting_schedules
from planner.core.optimum.solver import Search, relaxation, search
from planner.units import Clock, counted

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
    classes = relaxed_bounds(problem, objective, clock)
    if all(math.isinf(each.lp_bound) for each in classes):
        return _infeasible(problem, objective, classes, moment)
    # filled ones first, as of equal ones the first is taken: what nodes that are paid carry is not left lying
    filled = [problem.filled(targets) for targets in starts] if problem.deployment.units_per_node > 1 else []
    candidates = (*filled, *starts, *starting_schedules(problem))
    schedules = [_schedule(problem, objective, targets, ahead=True) for targets in candidates]
    for number, each in enumerate(classes):
        if each.finished:
            continue
        limit_s = time_limit_s - sum(other.seconds for other in classes)
        if number + 1 < len(classes):
            limit_s *= AHEAD_SHARE
        classes[number], better = _searched(problem, objective, each, _least(schedules), limit_s, clock)
        schedules += better
    best = _least(schedules)
    if best is None and all(math.isinf(each.bound) for each in classes):
        return _infeasible(problem, objective, classes, moment)
    return Optimum(
        objective=objective,
        status=_status(classes, best),
        classes=tuple(classes),
        schedule=best,
        timetable=_least([schedule for schedule in schedules if schedule and schedule.ahead]),
        cure=None,
    )


def relaxed_bounds(problem: Problem, objective: Objective, clock: Clock) -> list[ClassBound]:
    """The bounds by the linear relaxation alone, which takes a fraction of the search's time, by class of policies."""
    return [_relaxed(problem, objective, clock, ahead=ahead) for ahead in _classes(problem)]


def _classes(problem: Problem) -> tuple[bool, ...]:
    """The classes of policies to bound, as whether targets are known ahead; without draining both are the same."""
    return (True, False) if problem.deployment.settings.drain_deadline_s else (True,)


def _relaxed(problem: Problem, objective: Objective, clock: Clock, *, ahead: bool) -> ClassBound:
    """The bound of a class by the linear relaxation; finished where that has no solution, as then nothing has."""
    begin = clock()
    relaxed = relaxation(Program(problem, objective, ahead=ahead))
    bound = _value(problem, objective, relaxed[0] if relaxed else math.inf)
    return ClassBound(
        ahead=ahead,
        lp_bound=bound,
        lp_seconds=clock() - begin,
        bound=bound,
        seconds=0.0,
        finished=relaxed is None,
    )


def _searched(
    problem: Problem,
    objective: Objective,
    relaxed: ClassBound,
    best: FeasibleSchedule | None,
    limit_s: float,
    clock: Clock,
) -> tuple[ClassBound, list[FeasibleSchedule]]:
    """The bound of a class after branch and bound, and the schedules met on the way. best: the best known before."""
    begin = clock()
    schedules = []
    if best and relaxed.ahead:
        # a long plan is too much for one search: a good start, found piece by piece, prunes most of its tree
        best = _improved(problem, objective, best, begin + limit_s * WINDOW_SHARE, clock)
        schedules.append(best)
        limit_s -= clock() - begin
    result = _branch_and_bound(problem, objective, best, max(limit_s, 0.0), ahead=relaxed.ahead)
    if result.targets is not None:
        # the program allows a little that the replay does not, so its schedule counts as the replay runs it
        schedule = _schedule(problem, objective, result.targets, ahead=relaxed.ahead)
        schedules += [schedule] if schedule else []
    bound = max(relaxed.lp_bound, _value(problem, objective, result.bound))
    return replace(relaxed, bound=bound, seconds=clock() - begin, finished=result.finished), schedules


def _branch_and_bound(
    problem: Problem, objective: Objective, best: FeasibleSchedule | None, limit_s: float, *, ahead: bool
) -> Search:
    program = Program(problem, objective, ahead=ahead)
    if best is None:
        return search(program, limit_s)
    if ahead:
        return search(program, limit_s, start=best.targets)
    # The best so far drains ahead, so it is no start here. But late schedules matter only below its value, and mostly
    # there are none: the solver proves that in a fraction of the time that it takes to find the best of them.
    return search(program, limit_s, under=_node_intervals(problem, objective, best.value))


def _improved(
    problem: Problem, objective: Objective, best: FeasibleSchedule, until: float, clock: Clock
) -> FeasibleSchedule:
    """The best of schedules that differ from the last in one window of a long plan, window by window, up to a time."""
    if problem.count <= LONG:
        return best
    # twice, the second time half a window off, so that no interval stays at the edge of its window
    for first in (*range(0, problem.count, WINDOW), *range(-WINDOW // 2, problem.count, WINDOW)):
        left_s = until - clock()
        if left_s <= 0:
            break
        # a new program for every window: `search` fixes columns of the one it is given
        program = Program(problem, objective, ahead=True)
        window = range(first, first + WINDOW)
        result = search(program, min(WINDOW_S, left_s), start=best.targets, window=window)
        schedule = _schedule(problem, objective, result.targets, ahead=True) if result.targets else None
        best = _least([best, schedule]) or best
    return best


def _status(classes: Sequence[ClassBound], best: FeasibleSchedule | None) -> Status:
    if best is None:
        return "no schedule found"
    if best.value - min(each.bound for each in classes) <= PROVEN * abs(best.value):
        return "optimal"
    # even finished searches may leave a gap, where the program does not charge all that the replay does
    return "feasible (relaxed)" if all(each.finished for each in classes) else "feasible (time limit)"


def _schedule(
    problem: Problem, objective: Objective, targets: Sequence[Units], *, ahead: bool
) -> FeasibleSchedule | None:
    """The schedule as the replay runs it, repaired where it is beyond the allowance; None where it cannot be."""
    repaired = repair(problem, targets, ahead=ahead)
    if repaired is None or not keeps_times(problem, repaired):
        return None
    plan = problem.replay(repaired, ahead=ahead)
    return FeasibleSchedule(
        targets=tuple(repaired),
        ahead=ahead,
        value=problem.in_units(problem.value(plan, objective), objective),
        plan=plan,
        shortfall_tokens=int(plan.shortfall_tokens.sum()),
    )


def _least(schedules: Sequence[FeasibleSchedule | None]) -> FeasibleSchedule | None:
    """The schedule of the least value, the first of equal ones."""
    return min((schedule for schedule in schedules if schedule), key=lambda schedule: schedule.value, default=None)


def _value(problem: Problem, objective: Objective, node_intervals: float) -> float:
    return problem.in_units(node_intervals * problem.interval_s, objective)


def _node_intervals(problem: Problem, objective: Objective, value: float) -> float:
    unit_value = problem.in_units(problem.interval_s, objective)
    return value / unit_value if unit_value else math.inf


def _infeasible(
    problem: Problem, objective: Objective, classes: Sequence[ClassBound], moment: Callable[[int], str]
) -> Optimum:
    return Optimum(
        objective=objective,
        status="infeasible",
        classes=tuple(classes),
        schedule=None,
        timetable=None,
        cure=_cure(problem, moment),
    )


def _cure(problem: Problem, moment: Callable[[int], str]) -> str:
    """The message for an infeasible problem: what is lacking, where, and the cure."""
    program = Program(problem, None, ahead=False)
    relaxed = relaxation(program)
    assert relaxed is not None, "with unlimited shortfall every schedule is a solution"
    missing = program.short_tokens(relaxed[1])
    worst = max(range(problem.count), key=lambda t: sum(missing[t]))
    role = max(range(len(problem.roles)), key=lambda number: missing[worst][number])
    units, kind = {"prefill": ("prefill units", "input "), "decode": ("decode units", "output ")}.get(
        problem.roles[role].name, ("units", "")
    )
    ratio = max(relaxed[0], 0.0) * program.token_unit / problem.tokens
    fewest = sum(each.covering(problem.interval_s) * each.nodes for each in problem.roles)
    where = f"most at {moment(worst)}, where {units} lack {missing[worst][role]:,.0f} {kind}tokens"
    if ratio <= problem.max_shortfall_ratio:  # fractions of units would do
        ratio, where = problem.max_shortfall_ratio, f"the busiest interval at {moment(int(np.argmax(fewest)))}"
    return (
        f"no schedule of {counted(problem.nodes, 'node')} is within slo.max_shortfall_ratio of "
        f"{problem.max_shortfall_ratio:.3%}: over {ratio:.3%} of tokens fall short, {where}; raise it, or raise "
        f"fleet.nodes: {counted(int(np.max(fewest)), 'node')} {'carries' if np.max(fewest) == 1 else 'carry'} "
        "the busiest interval"
    )

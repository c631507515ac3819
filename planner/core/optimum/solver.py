"""Programs solved by HiGHS: the linear relaxation, then branch and bound within a time. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import highspy
import numpy as np

from planner.core.fleet.units import Units
from planner.core.optimum.program import Program

TOLERANCE = 1e-7
"""Most that a row or a whole number may be off, in units. Assumed; see the program's SCALE."""
GAP = 1e-9
"""Share by which bound and solution may differ when a search ends. Assumed: far under one unit in a plan."""
SHORT_OF = 1e-3
"""Share of a step by which the gap that ends a search is under it. Assumed: over the solver's errors."""
ROUNDING = 1e-7
"""Share by which the solver's bound is lowered. Assumed: far over its own errors at that tolerance, and far under one
unit in a plan."""

_Status = highspy.HighsModelStatus
_NO_SOLUTION = (_Status.kInfeasible, _Status.kUnboundedOrInfeasible)
"""Objectives are bounded below, so what may be unbounded is infeasible."""


@dataclass(frozen=True)
class Search:
    """What branch and bound found. bound: proven, in node-intervals, infinite where there is no solution; targets: of
    the best solution; finished: whether the time was enough."""

    bound: float
    targets: list[Units] | None
    finished: bool


def relaxation(program: Program) -> tuple[float, list[float]] | None:
    """The least value with units that may be fractions, lowered by rounding, and its columns; None if there is none."""
    solver = _solver(program, whole=False)
    solver.run()
    status = solver.getModelStatus()
    if status in _NO_SOLUTION:
        return None
    if status != _Status.kOptimal:
        raise RuntimeError(f"HiGHS ended with {solver.modelStatusToString(status)}")
    return lowered(solver.getObjectiveValue()), list(solver.getSolution().col_value)


def search(
    program: Program,
    time_limit_s: float,
    *,
    start: Sequence[Units] | None = None,
    window: range | None = None,
    under: float = math.inf,
) -> Search:
    """Branch and bound within a time.

    start: a known schedule to begin with. window: intervals in which units may differ from it; the bound is then for
    such schedules only. under: a value, in node-intervals, above which schedules are of no interest; the bound is then
    at most that.
    """
    if start is not None and window is not None:
        program.keep(start, window)
    if math.isfinite(under):
        program.matrix.row({column: cost for column, cost in enumerate(program.matrix.cost) if cost}, upper=under)
    solver = _solver(program, whole=True)
    solver.setOptionValue("time_limit", time_limit_s)
    solver.setOptionValue("mip_rel_gap", GAP)
    # solutions less than a step apart are worth the same
    solver.setOptionValue("mip_abs_gap", max(program.step * (1 - SHORT_OF), GAP))
    if start is not None:
        known = program.start(start)
        solver.setSolution(len(known), np.array(list(known), np.int32), np.array(list(known.values())))
    solver.run()
    status, info = solver.getModelStatus(), solver.getInfo()
    if status in _NO_SOLUTION:
        return Search(under, None, finished=True)
    if status not in (_Status.kOptimal, _Status.kTimeLimit):
        raise RuntimeError(f"HiGHS ended with {solver.modelStatusToString(status)}")
    feasible = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    targets = program.targets(list(solver.getSolution().col_value)) if feasible else None
    return Search(min(proven(program, info.mip_dual_bound), under), targets, finished=status == _Status.kOptimal)


def proven(program: Program, bound: float) -> float:
    """The solver's bound, lowered by rounding, then raised to the next value that a schedule can have."""
    safe = lowered(bound)
    return math.ceil(safe / program.step) * program.step if program.step and math.isfinite(safe) else safe


def lowered(bound: float) -> float:
    """A bound that rounding in floating point cannot have raised."""
    return bound - ROUNDING * max(abs(bound), 1.0) if math.isfinite(bound) else bound


def _solver(program: Program, *, whole: bool) -> highspy.Highs:
    matrix = program.matrix
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(matrix.cost), len(matrix.rows)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = (
        np.array(values, np.float64) for values in (matrix.cost, matrix.lower, matrix.upper)
    )
    lp.row_lower_ = np.array([lower for lower, _, _ in matrix.rows], np.float64)
    lp.row_upper_ = np.array([upper for _, _, upper in matrix.rows], np.float64)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.cumsum([0, *(len(terms) for _, terms, _ in matrix.rows)])
    lp.a_matrix_.index_ = np.array([column for _, terms, _ in matrix.rows for column in terms], np.int32)
    lp.a_matrix_.value_ = np.array([value for _, terms, _ in matrix.rows for value in terms.values()], np.float64)
    if whole:
        kinds = [highspy.HighsVarType.kContinuous] * len(matrix.cost)
        for column in matrix.whole:
            kinds[column] = highspy.HighsVarType.kInteger
        lp.integrality_ = kinds
    solver = highspy.Highs()  # type: ignore[no-untyped-call]  # typed, but for its constructor
    solver.setOptionValue("output_flag", False)
    for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance", "mip_feasibility_tolerance"):
        solver.setOptionValue(name, TOLERANCE)
    solver.passModel(lp)
    return solver

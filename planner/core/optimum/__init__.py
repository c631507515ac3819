"""The provable bound: the least that any policy can spend under the interval replay, and a schedule close to it."""

from planner.core.optimum.bound import optimise, relaxed_bounds
from planner.core.optimum.documents import ProofDocument, Status
from planner.core.optimum.problem import Objective, Problem
from planner.core.optimum.results import FeasibleSchedule, Optimum, gap

__all__ = [
    "FeasibleSchedule",
    "Objective",
    "Optimum",
    "Problem",
    "ProofDocument",
    "Status",
    "gap",
    "optimise",
    "relaxed_bounds",
]

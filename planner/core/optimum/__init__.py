"""The provable bound: the least that any policy can spend under the interval replay, and a schedule that comes near."""

from planner.core.optimum.bound import optimise
from planner.core.optimum.documents import OptimumDocument, ProofDocument, Status
from planner.core.optimum.problem import Objective, Problem, shortfall
from planner.core.optimum.results import FeasibleSchedule, Optimum, gap

__all__ = [
    "FeasibleSchedule",
    "Objective",
    "Optimum",
    "OptimumDocument",
    "Problem",
    "ProofDocument",
    "Status",
    "gap",
    "optimise",
    "shortfall",
]

"""What is proven of an objective, as documents: the parts of `planner optimize --json` that an Optimum gives."""

from dataclasses import dataclass
from typing import Literal

from planner.core.optimum.problem import Objective
from planner.documents import Document

Status = Literal["optimal", "feasible (time limit)", "feasible (relaxed)", "infeasible", "no schedule found"]


@dataclass(frozen=True, kw_only=True)
class ClassBoundDocument(Document):
    """The bound on one class of policies, in the objective's unit; null where none is within the allowance."""

    drain: Literal["before the boundary", "after the boundary"]
    """When units that leave drain: before the boundary for policies that know targets ahead, after it for others."""
    lp_bound: float | None
    """The bound of the linear relaxation."""
    bound: float | None
    """The bound of branch and bound; at least lp_bound."""
    finished: bool
    """Whether the search ended by itself, not by the time limit."""


@dataclass(frozen=True, kw_only=True)
class ProofDocument(Document):
    """What is proven of an objective, in its unit: hours or dollars."""

    objective: Objective
    status: Status
    bound: float | None
    """The least value that any policy within the allowance can have; null where none is within it."""
    gap: float | None
    """(schedule - bound) / |bound|; null without a schedule or a bound, and where the bound is 0."""
    seconds: float
    """Wall-clock time of relaxations and searches."""
    lp_bound: float | None
    """The bound of the linear relaxation."""
    lp_seconds: float
    """Wall-clock time of relaxations."""
    policies: tuple[ClassBoundDocument, ...]
    """The bound by class of policies; the least of them is the bound on every policy."""
    cure: str | None
    """What a problem that no schedule solves lacks, and where; null where there is a schedule."""

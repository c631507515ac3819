"""What is known of an optimum: the bound by class of policies, the best schedule, and the gap between them. Pure."""

import math
from dataclasses import dataclass

from planner.core.fleet.units import Units
from planner.core.optimum.documents import ClassBoundDocument, ProofDocument, Status
from planner.core.optimum.problem import Objective
from planner.core.replay.intervals.plan import IntervalPlan


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
class ClassBound:
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
    classes: tuple[ClassBound, ...]
    schedule: FeasibleSchedule | None
    timetable: FeasibleSchedule | None
    cure: str | None

    @property
    def bound(self) -> float | None:
        proven = min(each.bound for each in self.classes)
        return _finite(proven if self.schedule is None else min(proven, self.schedule.value))

    @property
    def lp_bound(self) -> float | None:
        return _finite(min(each.lp_bound for each in self.classes))

    @property
    def seconds(self) -> float:
        return sum(each.seconds + each.lp_seconds for each in self.classes)

    @property
    def lp_seconds(self) -> float:
        return sum(each.lp_seconds for each in self.classes)

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
                    drain="before the boundary" if each.ahead else "after the boundary",
                    lp_bound=_finite(each.lp_bound),
                    bound=_finite(each.bound),
                    finished=each.finished,
                )
                for each in self.classes
            ),
            cure=self.cure,
        )


def gap(value: float, bound: float | None) -> float | None:
    """How far a value lies above the bound, as a share of it; None without a bound, or where that is 0."""
    return (value - bound) / abs(bound) if bound else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

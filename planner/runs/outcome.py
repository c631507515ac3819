"""A finished plan, before it is stored."""

from dataclasses import dataclass

from planner.capacity.bands import Estimate
from planner.core.demand import Demand
from planner.core.economics.ledger import Costs, Revenue
from planner.core.replay.intervals.plan import IntervalPlan
from planner.core.replay.jobs.outcome import JobsPlan
from planner.settings.scenario import Scenario
from planner.trace.stored import TraceInfo


@dataclass(frozen=True)
class Input:
    """A number that a plan depends on and that is not a scenario field. kind: as in Scenario.provenance."""

    name: str
    value: str
    kind: str
    source: str


@dataclass(frozen=True, kw_only=True)
class FigureBand(Estimate):
    """The 90 % band of a figure of a plan with modelled capacities, or of a replay."""

    figure: str
    """The figure, by its key in the document of a plan, or its path in that of a replay: "tpot_ms.p99"."""

    @property
    def is_of_replay(self) -> bool:
        """Whether it is of a figure of a replay."""
        return "." in self.figure


@dataclass(frozen=True, kw_only=True)
class PlanOutcome:
    """A finished plan, before it is stored. demand_source: what the policy saw, or none.

    jobs: None if the scenario names no training jobs. bands: of its figures; none where capacities are observed.
    """

    scenario: Scenario
    trace: TraceInfo
    policy: str
    demand_source: str
    demand: Demand
    plan: IntervalPlan
    costs: Costs
    revenue: Revenue
    notes: tuple[str, ...]
    inputs: tuple[Input, ...]
    jobs: JobsPlan | None = None
    bands: tuple[FigureBand, ...] = ()

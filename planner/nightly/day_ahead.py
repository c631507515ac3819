"""The plan of a coming day, for its expected demand."""

from planner.nightly.expected_demand import ExpectedDemand
from planner.planning.plan import plan
from planner.planning.prepare import prepare_ahead
from planner.runs.outcome import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.trace.stored import TraceInfo


def plan_ahead(store: Store, scenario: Scenario, trace: TraceInfo, expected: ExpectedDemand) -> PlanOutcome:
    """The plan for an expected demand; nothing is stored. trace: of the newest log. Raises UsageError, RunError."""
    return plan(prepare_ahead(store, scenario, trace, expected.demand, expected.notes))

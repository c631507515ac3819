"""The plan of a day to come, for the demand that it is expected to have."""

from planner.errors import UsageError
from planner.nightly.expected_demand import ExpectedDemand
from planner.planning import pipeline
from planner.runs.results import PlanOutcome
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.trace.stored import TraceInfo


def plan_ahead(store: Store, scenario: Scenario, trace: TraceInfo, expected: ExpectedDemand) -> PlanOutcome:
    """The plan for an expected demand; nothing is stored. trace: of the newest log. Raises UsageError, RunError."""
    problems = pipeline.check(scenario)
    if problems:
        raise UsageError("; ".join(problems))
    with store.read() as session:
        sized = pipeline.sized(session, scenario, trace)
        limits = pipeline.slo_limits(session, sized, trace)
    return pipeline.compute_plan(sized, trace, expected.demand, expected.notes, limits=limits, expected=True)

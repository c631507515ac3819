"""What units do with the requests of a trace: capacities modelled from the hardware up, and latency limits."""

from planner.capacity.engines import Modelled, Workload, WorkloadRow, model_capacity, with_capacity
from planner.capacity.latency import LatencyLimits, PromptClass, latency_limits, prompts_of
from planner.core.policy import policies_in
from planner.settings.scenario import Scenario
from planner.store import Session, Store
from planner.trace import stored
from planner.trace.stored import TraceInfo


def modelled_capacity(session: Session, scenario: Scenario, trace: TraceInfo) -> Modelled:
    """What a node of each role does with the trace's requests, from the hardware up. Raises UsageError."""
    return model_capacity(scenario.fleet, scenario.slo.tpot_ms, modelled_workload(session, trace))


def modelled_workload(session: Session, trace: TraceInfo) -> Workload:
    """What a trace asks for per token. Raises UsageError if it has no tokens to model, TraceError for windows."""
    stored.check_requests(trace)
    (row,) = session.records("trace_workload", WorkloadRow, trace_id=trace.trace_id)
    return Workload.of_row(row, trace.name)


def trace_workload(store: Store, name: str) -> Workload:
    """What a stored trace asks for per token. Raises TraceError, UsageError."""
    with store.read() as session:
        return modelled_workload(session, stored.by_name(session, name))


def with_modelled_capacity(session: Session, scenario: Scenario, trace: TraceInfo) -> Scenario:
    """The scenario with the capacities to plan with: its own, or modelled ones if it asks for them.

    Raises UsageError.
    """
    if scenario.fleet.capacity == "observed":
        return scenario
    return with_capacity(scenario, modelled_capacity(session, scenario, trace))


def policy_limits(session: Session, scenario: Scenario, trace: TraceInfo) -> LatencyLimits | None:
    """What units do within the latency targets, if the policy needs it; None otherwise. Raises UsageError."""
    return modelled_limits(session, scenario, trace) if "slo" in policies_in(scenario.policy) else None


def modelled_limits(session: Session, scenario: Scenario, trace: TraceInfo) -> LatencyLimits:
    """What units do within the latency targets, modelled. Raises UsageError."""
    kv_tokens = modelled_workload(session, trace).kv_tokens
    prompts = prompts_of(session.records("trace_prompts", PromptClass, trace_id=trace.trace_id))
    return latency_limits(scenario, kv_tokens, prompts)

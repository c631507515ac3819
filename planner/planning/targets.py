"""Whether what serves is modelled to keep the latency targets: what units do within them, and for which requests."""

from planner.core.demand import Demand
from planner.planning.aggregated import UnitLimits
from planner.planning.allowance import Allowance
from planner.planning.capacity import Limits, modelled_limits
from planner.settings.fleet import FleetSettings
from planner.settings.scenario import Scenario
from planner.store import Session
from planner.trace.stored import TraceInfo
from planner.units import Ints


def target_limits(session: Session, scenario: Scenario, trace: TraceInfo) -> Limits:
    """What units do within the latency targets, with what the scenario allows for nodes that are down.

    scenario: with the capacities that are planned with. Raises UsageError.
    """
    limits = modelled_limits(session, scenario, trace)
    allowed = Allowance.of(scenario, 0.0, planned=True).limited(limits, scenario.fleet)
    assert allowed is not None, "limits of a scenario stay limits"
    return allowed


def requests_in_time(
    limits: Limits,
    fleet: FleetSettings,
    demand: Demand,
    prefill_serving_tokens: Ints,
    decode_serving_tokens: Ints,
) -> int:
    """Requests of intervals in which what serves is modelled to keep both latency targets.

    The last two are the tokens that serving units carry, as in IntervalPlan.
    """
    if isinstance(limits, UnitLimits):
        most = limits.most_use
        within = (demand.input_tokens <= prefill_serving_tokens * most) & (
            demand.output_tokens <= decode_serving_tokens * most
        )
        return int(demand.requests[within].sum())
    prefill_s = prefill_serving_tokens / (fleet.prefill.nodes * fleet.prefill.node_tokens_per_s)
    decode_s = decode_serving_tokens / (fleet.decode.nodes * fleet.decode.node_tokens_per_s)
    within = (demand.input_tokens <= prefill_s * limits.input_tokens_per_s) & (
        demand.output_tokens <= decode_s * limits.output_tokens_per_s
    )
    return int(demand.requests[within].sum())

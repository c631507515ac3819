"""Whether what serves is modelled to keep the latency targets: the requests of intervals in which it does."""

from planner.core.demand import Demand
from planner.planning.aggregated import UnitLimits
from planner.planning.capacity import Limits
from planner.settings.fleet import FleetSettings
from planner.units import Ints


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

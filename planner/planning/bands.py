"""90 % bands of a plan: the same plan where units are as fast, and as slow, as the bands of their times say.

Both ends take all errors to go the same way: prefill and decode of one set-up are both faster or both slower.
"""

from dataclasses import replace

from planner.core.fleet.deployment import Deployment
from planner.planning.capacity import End
from planner.planning.decide import Decided, decide
from planner.planning.prepare import Prepared
from planner.planning.price import costs_of
from planner.runs.outcome import FigureBand
from planner.units import S_PER_HOUR, usd

_WITHOUT_SLOW = {"training_node_hours": 0.0, "shortfall_ratio": 1.0}
"""Where units as slow as the band allows serve nobody in time: nothing is lent, and all is short."""


def plan_bands(prepared: Prepared, decided: Decided) -> tuple[FigureBand, ...]:
    """The bands of a plan's figures; none where its capacities are observed. Raises UsageError, RunError."""
    ends = prepared.ends
    if ends is None:
        return ()
    value, fast = _figures(prepared, decided), _at(prepared, ends.fast, decided)
    slow = None if ends.slow is None else _at(prepared, ends.slow, decided)
    bands = []
    for name, figure in value.items():
        last = _WITHOUT_SLOW.get(name) if slow is None else slow[name]
        found = [figure, fast[name], *([] if last is None else [last])]
        high = None if last is None else max(found)
        bands.append(FigureBand(figure=name, value=figure, low=min(found), high=high, measured=ends.measured))
    return tuple(bands)


def _at(prepared: Prepared, end: End, decided: Decided) -> dict[str, float]:
    """The figures at one end. decided: at the value; the policy sees the same demand."""
    own = replace(prepared, scenario=end.scenario, limits=end.limits, ends=None)
    return _figures(own, decide(own, decided.seen))


def _figures(prepared: Prepared, decided: Decided) -> dict[str, float]:
    """The figures of a plan that follow from capacities, by their keys in its document."""
    plan, demand = decided.plan, prepared.demand
    deployment = Deployment(prepared.scenario.fleet)
    tokens = int(demand.input_tokens.sum() + demand.output_tokens.sum())
    node_s = int(plan.inference_node_s.sum())
    costs = costs_of(prepared.scenario, plan, prepared.prices.gpu.usd_per_gpu_hour)
    return {
        "need_nodes": deployment.nodes(
            deployment.enough(demand.input_tokens, demand.output_tokens, demand.grid.interval_s)
        ),
        "peak_nodes": int(plan.inference_nodes.max()),
        "mean_nodes": node_s / plan.grid.length_s,
        "node_hours": node_s / S_PER_HOUR,
        "training_node_hours": int(plan.lent_node_s.sum()) / S_PER_HOUR,
        "cost_usd": usd(sum(costs.inference)),
        "shortfall_ratio": int(plan.shortfall_tokens.sum()) / tokens if tokens else 0.0,
    }

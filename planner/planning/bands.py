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


def plan_bands(prepared: Prepared, decided: Decided) -> tuple[FigureBand, ...]:
    """The bands of a plan's figures; none where its capacities are observed. Raises UsageError, RunError."""
    ends = prepared.ends
    if ends is None:
        return ()
    value = _figures(prepared, decided)
    fast, slow = (
        None if end is None else _figures(at, decide(at, decided.seen))
        for end in (ends.fast, ends.slow)
        for at in (_at(prepared, end),)
    )
    bands = []
    for name, figure in value.items():
        found = [figure, *(each[name] for each in (fast, slow) if each is not None)]
        bands.append(
            FigureBand(
                figure=name,
                value=figure,
                low=min(found),
                high=None if slow is None else max(found),
                measured=ends.measured,
            )
        )
    return tuple(bands)


def _at(prepared: Prepared, end: End | None) -> Prepared:
    return prepared if end is None else replace(prepared, scenario=end.scenario, limits=end.limits, ends=None)


def _figures(prepared: Prepared, decided: Decided) -> dict[str, float]:
    """The figures of a plan that follow from capacities, by their keys in its document."""
    plan, demand = decided.plan, prepared.demand
    deployment = Deployment(prepared.scenario.fleet)
    tokens = int(demand.input_tokens.sum() + demand.output_tokens.sum())
    node_s = int(plan.inference_node_s.sum())
    costs = costs_of(prepared.scenario, plan, prepared.prices.gpu.usd_per_gpu_hour)
    return {
        "need_nodes": deployment.nodes(deployment.enough(*demand.busiest, demand.grid.interval_s)),
        "peak_nodes": int(plan.inference_nodes.max()),
        "mean_nodes": node_s / plan.grid.length_s,
        "node_hours": node_s / S_PER_HOUR,
        "training_node_hours": int(plan.lent_node_s.sum()) / S_PER_HOUR,
        "cost_usd": usd(sum(costs.inference)),
        "shortfall_ratio": int(plan.shortfall_tokens.sum()) / tokens if tokens else 0.0,
    }

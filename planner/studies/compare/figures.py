"""The figures that policies are compared by."""

from dataclasses import dataclass

import numpy as np

from planner.documents import Document
from planner.planning.price import served_of
from planner.runs.outcome import PlanOutcome
from planner.units import S_PER_HOUR, Floats, usd


@dataclass(frozen=True, kw_only=True)
class PolicyFigures(Document):
    """The figures of a plan, as in the view run_summary."""

    peak_nodes: int
    """Most nodes that inference holds in an interval."""
    mean_nodes: float
    """Nodes that inference holds, on average over time."""
    node_hours: float
    """Node-hours that inference holds: serving, starting and draining."""
    training_node_hours: float
    """Node-hours lent to training, restoring included."""
    cost_usd: float
    """Cost of inference."""
    revenue_usd: float
    """Theoretical revenue: all tokens at list price."""
    revenue_served_usd: float
    """What of that is earned by requests within the capacity."""
    shortfall_tokens: int
    """Tokens demanded beyond the capacity."""
    shortfall_ratio: float
    """Tokens beyond the capacity over all tokens."""
    scale_actions: int
    """Changes of a role's units from one interval to the next."""
    wasted_node_hours: float
    """Node-hours beyond those that carry the demand at full use."""


def compute_figures(outcome: PlanOutcome) -> PolicyFigures:
    """The figures of a plan."""
    plan, grid = outcome.plan, outcome.plan.grid
    tokens = int(outcome.demand.input_tokens.sum() + outcome.demand.output_tokens.sum())
    short = int(plan.shortfall_tokens.sum())
    node_s = int(plan.inference_node_s.sum())
    return PolicyFigures(
        peak_nodes=int(plan.inference_nodes.max()),
        mean_nodes=node_s / grid.length_s,
        node_hours=node_s / S_PER_HOUR,
        training_node_hours=int(plan.lent_node_s.sum()) / S_PER_HOUR,
        cost_usd=usd(sum(outcome.costs.inference)),
        revenue_usd=usd(sum(outcome.revenue.theoretical)),
        revenue_served_usd=usd(sum(served_of(outcome.revenue.theoretical, outcome.demand, plan))),
        shortfall_tokens=short,
        shortfall_ratio=short / tokens if tokens else 0.0,
        scale_actions=int(np.count_nonzero(np.diff(plan.prefill_units)) + np.count_nonzero(np.diff(plan.decode_units))),
        wasted_node_hours=float(wasted_node_s(outcome).sum()) / S_PER_HOUR,
    )


def wasted_node_s(outcome: PlanOutcome) -> Floats:
    """Node-seconds of inference beyond those that carry what was carried at full use, by interval."""
    plan, fleet = outcome.plan, outcome.scenario.fleet
    carrying: Floats = (
        np.minimum(outcome.demand.input_tokens, plan.prefill_serving_tokens) / fleet.prefill.node_tokens_per_s
        + np.minimum(outcome.demand.output_tokens, plan.decode_serving_tokens) / fleet.decode.node_tokens_per_s
    )
    return plan.inference_node_s - carrying

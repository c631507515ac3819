"""The figures that policies are compared by."""

from dataclasses import dataclass

import numpy as np

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import AGGREGATED
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
        scale_actions=sum(
            int(np.count_nonzero(np.diff(units)))
            for units in (plan.prefill_units, plan.decode_units, plan.aggregated_units)
        ),
        wasted_node_hours=float(wasted_node_s(outcome).sum()) / S_PER_HOUR,
    )


def wasted_node_s(outcome: PlanOutcome) -> Floats:
    """Node-seconds of inference beyond those that carry what was carried at full use, by interval."""
    plan, fleet = outcome.plan, outcome.scenario.fleet
    inputs = np.minimum(outcome.demand.input_tokens, plan.prefill_serving_tokens)
    outputs = np.minimum(outcome.demand.output_tokens, plan.decode_serving_tokens)
    carrying: Floats
    deployment = Deployment(fleet)
    if deployment.aggregated:
        part = deployment.unit_nodes(AGGREGATED) / deployment.units_per_node
        carrying = deployment.units_needed(inputs, outputs, 1.0) * part
    else:
        carrying = inputs / fleet.prefill.node_tokens_per_s + outputs / fleet.decode.node_tokens_per_s
    return plan.inference_node_s - carrying

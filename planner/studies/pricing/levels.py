"""Price levels, from list prices to prices that follow the utilisation they lead to, and their totals."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from planner.core.economics.dynamic_pricing import IntervalPrices
from planner.core.economics.ledger import margin_ratio
from planner.documents import Document
from planner.runs.outcome import PlanOutcome
from planner.units import S_PER_HOUR, Floats, usd

LevelName = Literal["list", "same-volume", "responding", "following"]

TITLES: dict[LevelName, str] = {
    "list": "list prices",
    "same-volume": "rule, same volume",
    "responding": "rule, demand answers",
    "following": "rule, prices follow",
}
"""Titles of the levels in output."""


@dataclass(frozen=True, kw_only=True)
class LevelTotals(Document):
    """What a price level leads to; named like the figures of a plan."""

    revenue_usd: float
    """Revenue from paid traffic at these prices."""
    cost_usd: float
    """Cost of inference."""
    margin_ratio: float | None
    """Revenue less cost, over cost; null if nothing is spent."""
    peak_nodes: int
    """Most nodes that inference holds in an interval."""
    mean_nodes: float
    """Nodes that inference holds, on average over time."""
    node_hours: float
    """Node-hours that inference holds."""
    training_node_hours: float
    """Node-hours lent to training, restoring included."""
    useful_training_node_hours: float
    """Node-hours lent to training, without restoring."""
    requests: int
    input_tokens: int
    cached_input_tokens: int
    """Input tokens found in the KV cache."""
    output_tokens: int
    shortfall_tokens: int
    """Tokens demanded beyond the capacity."""
    shortfall_ratio: float
    """Tokens beyond the capacity over all tokens."""


@dataclass(frozen=True, kw_only=True)
class PriceLevel:
    """One price level, with what it leads to.

    prices: for each kind of customers. revenue: micro-dollars per interval. price_ratio: mean price over list price of
    every interval; utilisation: of every interval.
    """

    name: LevelName
    prices: tuple[IntervalPrices, ...]
    outcome: PlanOutcome
    revenue: list[int]
    price_ratio: Floats
    utilisation: Floats

    @cached_property
    def totals(self) -> LevelTotals:
        """Sums and means over the plan."""
        plan, demand, cost = self.outcome.plan, self.outcome.demand, sum(self.outcome.costs.inference)
        tokens = int(demand.input_tokens.sum() + demand.output_tokens.sum())
        short, node_s = int(plan.shortfall_tokens.sum()), int(plan.inference_node_s.sum())
        return LevelTotals(
            revenue_usd=usd(sum(self.revenue)),
            cost_usd=usd(cost),
            margin_ratio=margin_ratio(cost, sum(self.revenue)),
            peak_nodes=int(plan.inference_nodes.max()),
            mean_nodes=node_s / demand.grid.length_s,
            node_hours=node_s / S_PER_HOUR,
            training_node_hours=int(plan.lent_node_s.sum()) / S_PER_HOUR,
            useful_training_node_hours=int(plan.training_node_s.sum()) / S_PER_HOUR,
            requests=int(demand.requests.sum()),
            input_tokens=int(demand.input_tokens.sum()),
            cached_input_tokens=int(demand.cached_input_tokens.sum()),
            output_tokens=int(demand.output_tokens.sum()),
            shortfall_tokens=short,
            shortfall_ratio=short / tokens if tokens else 0.0,
        )

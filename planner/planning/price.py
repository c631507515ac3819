"""What a plan costs, and what its demand earns."""

from collections.abc import Sequence

from planner.core.demand import Demand
from planner.core.economics.ledger import Costs, Revenue, RevenueTerms, costs, revenue, served_revenue
from planner.core.economics.prices import TokenRates, node_hour_micros
from planner.core.replay.intervals.plan import IntervalPlan
from planner.planning.prepare import Prices
from planner.settings.economics import EconomicsSettings
from planner.settings.scenario import Scenario


def costs_of(scenario: Scenario, plan: IntervalPlan, usd_per_gpu_hour: float) -> Costs:
    """What a plan costs at a price of a GPU-hour."""
    return costs(
        plan.inference_node_s,
        plan.training_node_s + plan.restoring_node_s,
        scenario.fleet.nodes * plan.grid.interval_s,
        node_hour_micros(usd_per_gpu_hour, scenario.fleet.gpus_per_node),
        scenario.economics.training_rate_ratio,
    )


def revenue_of(economics: EconomicsSettings, prices: Prices, demand: Demand) -> Revenue:
    """What the demanded tokens earn."""
    terms = RevenueTerms(
        rates=TokenRates.of(prices.tokens),
        other_rates=None if prices.other_tokens is None else TokenRates.of(prices.other_tokens),
        other_share=economics.other_share,
        off_peak=economics.off_peak,
        unpaid_share=economics.unpaid_share,
    )
    return revenue(demand, terms)


def served_of(earned: Sequence[int], demand: Demand, plan: IntervalPlan) -> list[int]:
    """What of the micro-dollars that all demanded tokens earn is earned by requests within a plan's capacity."""
    return served_revenue(demand, plan.shortfall_input_tokens, plan.shortfall_output_tokens, earned)

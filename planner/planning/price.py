"""What a plan costs, and what its demand earns."""

from collections.abc import Sequence

from planner.core.demand import Demand
from planner.core.economics.ledger import Costs, Revenue, RevenueTerms, costs, revenue, served_revenue
from planner.core.economics.prices import TokenRates, node_hour_micros
from planner.core.replay.intervals.plan import IntervalPlan
from planner.errors import UsageError
from planner.planning.prepare import Prices
from planner.settings.economics import EconomicsSettings
from planner.settings.scenario import Scenario
from planner.units import MICROS_PER_USD

MOST_MICROS = 2**63
"""Amounts are stored as whole micro-dollars of 64 bits with a sign."""


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


def check_countable(costs: Costs, revenue: Revenue) -> None:
    """Raises UsageError where amounts of a plan are beyond what is stored of money: 63 bits of micro-dollars."""
    sums = {
        "the fleet costs": (sum(costs.fleet), "fleet.nodes, fleet.gpus_per_node or the GPU rate"),
        "training is charged": (sum(costs.training_charge), "economics.training_rate_ratio or the GPU rate"),
        "all tokens earn": (max(sum(revenue.theoretical), sum(revenue.expected)), "the token prices or the demand"),
    }
    for what, (micros, cause) in sums.items():
        if micros >= MOST_MICROS:
            raise UsageError(
                f"{what} {micros / MICROS_PER_USD:.3g} USD over the plan, and less than "
                f"{MOST_MICROS / MICROS_PER_USD:.3g} can be counted; lower {cause}"
            )


def served_of(earned: Sequence[int], demand: Demand, plan: IntervalPlan) -> list[int]:
    """What of the micro-dollars that all demanded tokens earn is earned by requests within a plan's capacity."""
    return served_revenue(demand, plan.shortfall_input_tokens, plan.shortfall_output_tokens, earned)

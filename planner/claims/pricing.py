"""The claim about prices that follow the load."""

from planner.catalogue.read import pricing_rule
from planner.claims.base import ClaimCase, Figure, Finding, judge
from planner.core.economics import load_pricing as rules
from planner.core.economics.dynamic_pricing import price_steps


def load_pricing(case: ClaimCase) -> Finding:
    """What the rule earns on the published day under three definitions of utilisation and several elasticities."""
    day, fleet = case.day, float(case.day.published.peak_nodes)
    load, nodes = day.hourly_load, day.hourly_nodes
    assert case.preset.pricing_rule is not None, "the preset names its rule"
    steps = price_steps(pricing_rule(case.preset.pricing_rule))
    prices = rules.price_ratios(steps, rules.load_over_peak(load))
    by_nodes = rules.price_ratios(steps, rules.nodes_over_fleet(nodes, fleet))
    by_node_load = rules.price_ratios(steps, rules.load_per_node(load, nodes))
    highest = max(step.price_ratio for step in steps)
    cost, claimed = case.number("cost_change_ratio"), case.number("revenue_change_ratio")
    bound = rules.most_revenue_change(load, nodes, cost, highest)
    fixed, filled = rules.revenue_change(load, prices), rules.fill_quiet_hours(load, nodes, fleet, prices)
    elastic = tuple(
        Figure(
            f"revenue_change_{name}",
            rules.revenue_change(load, prices, case.number(name)),
            "ratio",
            f"demand of constant elasticity {case.number(name):g} in every hour, utilisation as load over peak",
        )
        for name in ("inelastic", "unit_elastic", "elastic")
    )
    return Finding(
        judge(whole=fixed >= claimed, some=bound >= claimed),
        f"At fixed volume the rule earns {fixed:+.1%} on the published day and at most {highest - 1:+.0%} on any; even "
        f"{cost:+.0%} node-hours, all as full as in the best hour and sold at the highest price, bring {bound:+.1%}.",
        (
            Figure("revenue_change_load_over_peak", fixed, "ratio", "fixed volume, utilisation as load over peak"),
            Figure(
                "revenue_change_nodes_over_fleet",
                rules.revenue_change(load, by_nodes),
                "ratio",
                "fixed volume, utilisation as serving nodes over the fleet",
            ),
            Figure(
                "revenue_change_load_per_node",
                rules.revenue_change(load, by_node_load),
                "ratio",
                "fixed volume, utilisation as load per serving node over its peak",
            ),
            *elastic,
            Figure("filled_revenue_change", filled.revenue_change, "ratio", "every cheap hour as full as the busiest"),
            Figure(
                "filled_nodes_change", filled.nodes_change, "ratio", "node-hours that this takes, on the whole fleet"
            ),
            Figure(
                "most_revenue_change", bound, "ratio", "upper bound with the claimed cost, fullest nodes, highest price"
            ),
            Figure("claimed_revenue_change", claimed, "ratio", "as claimed"),
        ),
    )

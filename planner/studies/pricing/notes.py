"""Notes on dynamic prices on a plan: terms, assumptions, how prices and utilisation converged."""

import numpy as np

from planner.claims import judge_claim
from planner.studies.pricing.hours import Hours
from planner.studies.pricing.levels import TITLES
from planner.studies.pricing.market import Market, Priced
from planner.units import from_us


def price_lines(market: Market) -> list[str]:
    """The rule's prices, a line per window or for all steps."""
    rule = market.rule
    if rule.kind == "utilisation":
        steps = ", ".join(f"{step.price_ratio:.0%} from {step.from_utilisation:.0%}" for step in rule.steps)
        return [f"price over list by utilisation: {steps}" + (f", ramps of {rule.ramp:.0%}" if rule.ramp else "")]
    if rule.kind == "time":
        return [
            f"{window.window} {rule.timezone} {' '.join(window.weekdays)}: {window.price_ratio:.0%} of list"
            for window in rule.windows
        ]
    lines = []
    for sheet in (each.sheet for each in market.customers):
        cut = sheet.off_peak
        terms = f"{cut.window_utc} UTC: {cut.price_ratio:.0%} of list, from {cut.from_date}" if cut else "no discount"
        lines.append(f"{sheet.name}, {terms}")
    return lines


def note_pricing(priced: Priced) -> tuple[str, ...]:
    """What is assumed, what the plan does and does not do, and how prices and utilisation converged."""
    market = priced.market
    lines = [
        "fixed prices are the list prices: without the discounts of the price sheets",
        *_answer_notes(market),
        *_settling_notes(priced),
        *_clock_notes(market),
        *_policy_notes(market),
    ]
    for each in priced.levels[2:]:
        short = each.totals.shortfall_tokens
        if short:
            lines.append(
                f"{TITLES[each.name]}: {short:,} tokens are beyond the capacity, and the revenue counts them as served"
            )
    if market.rule.what_if is not None:
        judged = judge_claim(market.rule.what_if)
        lines.append(f"claimed by {judged.source}: {judged.claim}")
        lines.append(f"what-if {judged.name}, {judged.verdict}: {judged.summary}")
    return (*lines, *market.base.notes)


def _answer_notes(market: Market) -> list[str]:
    response, unpaid = market.response, market.scenario.economics.unpaid_share
    lines = [
        f"elasticity {response.elasticity:g}, shift {response.shift:.0%} and sensitivity {response.sensitivity:g} are "
        "assumed: how the demand for tokens responds to prices was not published"
        if response.active
        else "customers do not respond to prices here; set --elasticity and --shift to let them"
    ]
    if response.active and unpaid:
        lines.append(f"the {unpaid:.1%} of traffic that is not paid for sees no price and does not change")
    return lines


def _settling_notes(priced: Priced) -> list[str]:
    settled, market = priced.settled, priced.market
    if settled is None:
        return []
    if settled.converged:
        return [
            f"prices that follow the utilisation they lead to settle after {settled.iterations} iterations, residual "
            f"{settled.residual:.1g}; in the column before it, prices are set once, from the utilisation at list prices"
        ]
    why = "the rule jumps there and demand jumps back; --ramp 0.1 turns the jump into a slope"
    if market.definition == "nodes-over-fleet":
        why = "nodes come in whole scaling steps, so utilisation jumps; another --utilisation may settle"
    elif market.rule.ramp:
        why = "a wider --ramp or a weaker response may settle"
    return [
        f"prices that follow the utilisation they lead to DO NOT SETTLE: after {settled.iterations} iterations those "
        f"of {len(settled.unsettled)} of {len(settled.prices)} intervals are still up to {settled.residual:.3f} from "
        f"the rule's; {why}. The last column and the hours have prices set once, from the utilisation at list prices"
    ]


def _clock_notes(market: Market) -> list[str]:
    """Why hours and intervals give different figures, if a window begins or ends inside an hour."""
    if market.rule.kind == "utilisation":
        return []
    ratio = market.first_prices[0].ratio
    if all((prices.ratio == 1).all() for prices in market.first_prices):
        begins = [each.rates.off_peak_from for each in market.customers if each.rates.off_peak_from]
        since = f": the discount holds from {min(begins):%Y-%m-%d}" if market.rule.kind == "price-sheet" else ""
        return [f"the rule changes no price on this plan{since}"]
    hours, load = Hours.of(market), market.load(market.base.demand)
    even, sold = hours.means(ratio), hours.sums(load)
    weighted = np.divide(hours.sums(load * ratio), sold, out=even.copy(), where=sold > 0)
    split = np.flatnonzero(np.abs(weighted - even) > 1e-9)
    if not len(split):
        return []
    zone = market.scenario.zone
    shown = "; ".join(
        f"{from_us(hours.starts_us[hour], zone):%H:%M} would pay {even[hour]:.1%} of list and pays {weighted[hour]:.1%}"
        for hour in split[:2]
    )
    return [
        f"by hours and by intervals differ because windows begin or end inside {len(split)} hours: by hours, load "
        "counts as even within an hour; by intervals, more or less of it falls into the window as it rises or falls. "
        f"With even load, the hour from {shown}"
    ]


def _policy_notes(market: Market) -> list[str]:
    source = market.base.demand_source
    if not market.response.active or source in ("trace", "previous"):
        return []
    if source == "none":
        return [f"policy {market.base.policy} does not look at the demand: nodes do not change"]
    return [
        f"the policy sees demand from source {source}, which knows nothing of the changed prices: nodes do not change"
    ]

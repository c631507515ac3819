"""Dynamic prices on a scenario's plan: what a rule earns, how customers respond, and what that does to the fleet."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np

from planner.catalogue.read import price_sheet
from planner.core.demand import Demand, Grid
from planner.core.economics.dynamic_pricing import (
    Equilibrium,
    IntervalPrices,
    Response,
    Sale,
    clock_prices,
    exact_prices,
    income,
    list_prices,
    settle,
    sheet_prices,
    total_demand,
    utilisation,
    utilisation_prices,
)
from planner.core.economics.ledger import list_revenue
from planner.core.economics.prices import PPM, TokenRates, ppm
from planner.errors import UsageError
from planner.planning.check import require
from planner.planning.plan import plan
from planner.planning.prepare import Prepared, prepare
from planner.runs.outcome import PlanOutcome
from planner.settings.pricing_rules import PricingRule, Utilisation
from planner.settings.scenario import Scenario
from planner.settings.sheets import PriceSheet
from planner.store import Store
from planner.studies.pricing.levels import LevelName, PriceLevel
from planner.units import Floats, Progress

MOST_ITERATIONS = 200
"""Assumed: rules without jumps settled within 112 wherever tried, up to elasticity -3 and slopes of 15."""


@dataclass(frozen=True)
class Customers:
    """Part of the traffic, sold from one price sheet. share_ppm: in millionths of the traffic."""

    share_ppm: int
    sheet: PriceSheet

    @cached_property
    def rates(self) -> TokenRates:
        return TokenRates.of(self.sheet)


@dataclass(frozen=True, kw_only=True)
class Market:
    """A scenario's plan at list prices, its customers, the rule, and how they respond to it."""

    prepared: Prepared
    base: PlanOutcome
    customers: tuple[Customers, ...]
    rule: PricingRule
    response: Response
    definition: Utilisation

    @property
    def scenario(self) -> Scenario:
        return self.base.scenario

    def load(self, demand: Demand) -> Floats:
        """What the tokens of every interval earn at the list price of the first sheet; any unit."""
        return np.array(list_revenue(demand, self.customers[0].rates), np.float64)

    def utilisation(self, outcome: PlanOutcome, definition: Utilisation) -> Floats:
        """Utilisation of every interval of a plan."""
        return utilisation(definition, self.load(outcome.demand), held_nodes(outcome), self.scenario.fleet.nodes)

    def clock(self, grid: Grid) -> list[IntervalPrices]:
        """Prices on a grid for each kind of customers, for a rule by the clock."""
        if self.rule.kind == "time":
            return [clock_prices(self.rule, grid)] * len(self.customers)
        return [sheet_prices(each.rates, grid) for each in self.customers]

    @cached_property
    def first_prices(self) -> list[IntervalPrices]:
        """Prices by the clock, or by the utilisation of the plan at list prices."""
        if self.rule.kind != "utilisation":
            return self.clock(self.base.demand.grid)
        return self.same_for_all(utilisation_prices(self.rule, self.utilisation(self.base, self.definition)))

    def same_for_all(self, ratios: Floats) -> list[IntervalPrices]:
        """The same prices for all customers."""
        return [exact_prices(ratios)] * len(self.customers)

    def demand_at(self, ratios: Sequence[Floats]) -> tuple[list[Demand], Demand]:
        """The demand of each kind of customers at its prices as if it were alone, and the demand of all."""
        alone = [self.response.demand(self.base.demand, ratio) for ratio in ratios]
        parts = [(each.share_ppm, demand) for each, demand in zip(self.customers, alone, strict=True)]
        return alone, total_demand(self.base.demand, parts, self.scenario.economics.unpaid_share)

    def follow(self, ratios: Floats) -> Floats:
        """The rule's prices for the utilisation that its prices lead to. ratios: (intervals,)."""
        _, demand = self.demand_at([ratios] * len(self.customers))
        if self.definition == "load-over-peak":
            shares = utilisation(self.definition, self.load(demand), held_nodes(self.base), self.scenario.fleet.nodes)
        else:
            shares = self.utilisation(self.plan_for(demand), self.definition)
        return utilisation_prices(self.rule, shares)

    def plan_for(self, demand: Demand) -> PlanOutcome:
        """The scenario's plan for another demand."""
        return plan(self.prepared.for_demand(demand))

    def level(self, name: LevelName, prices: Sequence[IntervalPrices], *, answered: bool) -> PriceLevel:
        """What prices lead to. prices: for each kind of customers. answered: whether demand responds to them."""
        outcome, alone = self.base, [self.base.demand] * len(prices)
        if answered:
            alone, demand = self.demand_at([each.ratio for each in prices])
            outcome = self.plan_for(demand)
        sales = [
            Sale(each.share_ppm, each.rates, asked, demand)
            for each, asked, demand in zip(self.customers, prices, alone, strict=True)
        ]
        shares = [each.share_ppm / PPM for each in self.customers]
        return PriceLevel(
            name=name,
            prices=tuple(prices),
            outcome=outcome,
            revenue=income(sales, self.scenario.economics.unpaid_share),
            price_ratio=np.average([each.ratio for each in prices], axis=0, weights=shares),
            utilisation=self.utilisation(outcome, self.definition),
        )


@dataclass(frozen=True)
class Priced:
    """A rule on a plan. levels: list, same-volume, then responding and following if demand responds.

    settled: how prices and utilisation converged; None if they do not depend on each other.
    """

    market: Market
    levels: tuple[PriceLevel, ...]
    settled: Equilibrium | None

    @property
    def last(self) -> PriceLevel:
        """The level whose hours are shown: prices that follow, if they settled."""
        return self.levels[-1]


def price(
    store: Store,
    scenario: Scenario,
    rule: PricingRule,
    response: Response,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> Priced:
    """Plan the scenario at list prices and under a rule. Nothing is stored but a drawn trace.

    progress: called while requests are drawn, and for iterations towards prices that follow their own utilisation.
    Raises UsageError.
    """
    require(scenario)
    customers = customers_of(scenario, rule)
    prepared = prepare(store, scenario, now=now, progress=progress)
    market = Market(
        prepared=prepared,
        base=plan(prepared),
        customers=customers,
        rule=rule,
        response=response,
        definition=rule.utilisation or "load-over-peak",
    )
    at_list = [list_prices(prepared.demand.grid.count)] * len(customers)
    levels = [market.level("list", at_list, answered=False)]
    levels.append(market.level("same-volume", market.first_prices, answered=False))
    settled = None
    if response.active:
        levels.append(market.level("responding", market.first_prices, answered=True))
        if rule.kind == "utilisation":
            settled = _settle(market, progress)
            if settled.converged:
                levels.append(market.level("following", market.same_for_all(settled.prices), answered=True))
    return Priced(market, tuple(levels), settled)


def customers_of(scenario: Scenario, rule: PricingRule) -> tuple[Customers, ...]:
    """The price sheets in use, with their shares. Raises UsageError if the rule has no price for any of them."""
    economics, other = scenario.economics, ppm(scenario.economics.other_share)
    shares = ((PPM - other, economics.price_sheet), (other, economics.other_price_sheet))
    sheets = [(share, price_sheet(name)) for share, name in shares if share and name is not None]
    if rule.kind == "price-sheet" and not any(sheet.off_peak for _, sheet in sheets):
        names = " and ".join(sheet.name for _, sheet in sheets)
        is_own_table = isinstance(economics.price_sheet, PriceSheet)
        where = "set economics.price_sheet.off_peak in the scenario" if is_own_table else "add [off_peak] to it"
        raise UsageError(
            f"pricing rule {rule.name}: price sheet {names} states no discount; {where}, "
            "or give a rule that needs none, for example --rule utilisation-blog"
        )
    return tuple(Customers(share, sheet) for share, sheet in sheets)


def _settle(market: Market, progress: Progress | None) -> Equilibrium:
    done = 0

    def follow(ratios: Floats) -> Floats:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, MOST_ITERATIONS)
        return market.follow(ratios)

    return settle(market.first_prices[0].ratio, follow, most=MOST_ITERATIONS)


def held_nodes(outcome: PlanOutcome) -> Floats:
    """Mean nodes that inference holds in every interval."""
    held: Floats = outcome.plan.inference_node_s / outcome.demand.grid.interval_s
    return held

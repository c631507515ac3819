"""The document of a pricing rule on a plan."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import WrapSerializer

from planner.core.economics.dynamic_pricing import Equilibrium
from planner.documents import Document
from planner.runs.limits import limits_missed
from planner.settings.pricing_rules import PricingRule, Utilisation
from planner.studies.pricing.bases import Basis, compute_bases
from planner.studies.pricing.hours import PricedHour, price_hours
from planner.studies.pricing.levels import LevelName, LevelTotals, PriceLevel
from planner.studies.pricing.market import Priced
from planner.studies.pricing.notes import note_pricing, price_lines
from planner.studies.pricing.rules import DEFINITIONS

StatedRule = Annotated[
    PricingRule,
    WrapSerializer(lambda rule, plain: {key: value for key, value in plain(rule).items() if value is not None}),
]
"""A rule without the fields that it leaves out."""


@dataclass(frozen=True, kw_only=True)
class UtilisationMeaning(Document):
    """What utilisation means here."""

    definition: Utilisation
    meaning: str


@dataclass(frozen=True, kw_only=True)
class AssumedResponse(Document):
    """How customers are assumed to respond to prices."""

    elasticity: float
    """Volume is multiplied by price ** elasticity."""
    shift: float
    """Share of the demand that may move within 24 hours."""
    sensitivity: float
    """Demand moves to where price ** -sensitivity is high."""


@dataclass(frozen=True, kw_only=True)
class LevelHead(Document):
    """The price level that a part is about."""

    level: LevelName
    """list; same-volume: the rule without a response; responding: demand responds to prices that are set once;
    following: prices and the utilisation they lead to agree."""


@dataclass(frozen=True, kw_only=True)
class LevelDocument(LevelTotals, LevelHead):
    """The totals of a price level, and their changes from those at list prices."""

    revenue_change_ratio: float | None
    """Revenue over that at list prices, less 1."""
    cost_change_ratio: float | None
    node_hours_change_ratio: float | None


@dataclass(frozen=True, kw_only=True)
class FixedPoint(Document):
    """How prices and the utilisation they lead to converged."""

    converged: bool
    iterations: int
    residual: float
    """Largest difference between a price and the rule's, over the list price."""
    unsettled_intervals: int
    """Intervals whose prices differ from the rule's."""


@dataclass(frozen=True, kw_only=True)
class PricingDocument(Document):
    """A pricing rule on a scenario's plan."""

    scenario: str
    trace: str
    policy: str
    interval_s: int
    rule: StatedRule
    prices: tuple[str, ...]
    """The rule's prices, in words."""
    utilisation: UtilisationMeaning
    assumed: AssumedResponse
    levels: tuple[LevelDocument, ...]
    """From list prices to the rule, and with the response of demand."""
    fixed_point: FixedPoint | None
    """Null where prices do not depend on what they lead to."""
    bases: tuple[Basis, ...]
    """What the rule earns without a new plan."""
    hours_of: LevelName
    """The level of the hours that are shown besides list prices."""
    hours: tuple[PricedHour, ...]
    missed_limits: tuple[str, ...]
    """Limits of the scenario that the plan under the rule misses."""
    notes: tuple[str, ...]


def describe_pricing(priced: Priced) -> PricingDocument:
    """The document of a priced plan."""
    market, response = priced.market, priced.market.response
    return PricingDocument(
        scenario=market.scenario.name,
        trace=market.base.trace.name,
        policy=market.base.policy,
        interval_s=market.scenario.interval_s,
        rule=market.rule,
        prices=tuple(price_lines(market)),
        utilisation=UtilisationMeaning(definition=market.definition, meaning=DEFINITIONS[market.definition]),
        assumed=AssumedResponse(elasticity=response.elasticity, shift=response.shift, sensitivity=response.sensitivity),
        levels=tuple(_level(each, priced.levels[0]) for each in priced.levels),
        fixed_point=_fixed_point(priced.settled),
        bases=compute_bases(market),
        hours_of=priced.last.name,
        hours=price_hours(priced),
        missed_limits=tuple(limits_missed(market.scenario, priced.last.totals)),
        notes=note_pricing(priced),
    )


def _level(level: PriceLevel, before: PriceLevel) -> LevelDocument:
    totals, at_list = level.totals, before.totals
    return LevelDocument(
        **vars(totals),
        level=level.name,
        revenue_change_ratio=_change(totals.revenue_usd, at_list.revenue_usd),
        cost_change_ratio=_change(totals.cost_usd, at_list.cost_usd),
        node_hours_change_ratio=_change(totals.node_hours, at_list.node_hours),
    )


def _change(value: float, before: float) -> float | None:
    return value / before - 1 if before else None


def _fixed_point(settled: Equilibrium | None) -> FixedPoint | None:
    if settled is None:
        return None
    return FixedPoint(
        converged=settled.converged,
        iterations=settled.iterations,
        residual=settled.residual,
        unsettled_intervals=len(settled.unsettled),
    )

"""What a rule earns if its prices are set once and nothing is planned again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from planner.claims.day import Day
from planner.core.demand import Grid
from planner.core.economics.dynamic_pricing import utilisation, utilisation_prices
from planner.core.economics.ledger import list_revenue
from planner.core.economics.load_pricing import fill_quiet_hours, revenue_change
from planner.documents import Document
from planner.settings.pricing_rules import Utilisation
from planner.studies.pricing.hours import Hours
from planner.studies.pricing.market import Market, held_nodes
from planner.studies.pricing.rules import DEFINITIONS
from planner.trace.synthetic.profile import Profile, load_profile
from planner.units import S_PER_HOUR, Floats

ELASTICITIES = (0.0, -0.5, -1.0, -1.5)
"""Assumed: fixed volume, and demand that changes less than, as much as, and more than prices."""


@dataclass(frozen=True, kw_only=True)
class RevenueChange(Document):
    """What a rule earns at an elasticity of the demand."""

    elasticity: float
    """The volume is multiplied by price ** elasticity."""
    revenue_change_ratio: float
    """Revenue over that at list prices, less 1."""


@dataclass(frozen=True, kw_only=True)
class Basis(Document):
    """What a rule earns if its prices are set once and nothing is planned again."""

    on: str
    """What it is computed on: the published hours, the plan's hours or its intervals."""
    utilisation: Utilisation | None
    """What utilisation means; null for a rule by the clock."""
    revenue_changes: tuple[RevenueChange, ...]
    filled_revenue_change_ratio: float | None
    """Change of the revenue where every hour under list price is as full as the busiest, on the whole fleet; null if
    no hour is cheaper, or some have no load."""
    filled_nodes_change_ratio: float | None
    """Change of the node-hours that this takes."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """Hours or intervals with load at list price, for each kind of customers, and nodes."""

    on: str
    grid: Grid
    loads: tuple[Floats, ...]
    nodes: Floats
    fleet_nodes: float


def compute_bases(market: Market) -> tuple[Basis, ...]:
    """The rule on the published hours if there are any, on the plan's hours and on its intervals."""
    elasticities = tuple(dict.fromkeys((*ELASTICITIES, market.response.elasticity)))
    definitions: tuple[Utilisation | None, ...] = tuple(DEFINITIONS) if market.rule.kind == "utilisation" else (None,)
    return tuple(
        _earn(market, slots, definition, elasticities) for slots in _slots(market) for definition in definitions
    )


def _slots(market: Market) -> list[Slots]:
    demand, nodes, hours = market.base.demand, held_nodes(market.base), Hours.of(market)
    loads = tuple(np.array(list_revenue(demand, each.rates), np.float64) for each in market.customers)
    fleet = float(market.scenario.fleet.nodes)
    slots, profile = [], _published_profile(market)
    if profile is not None and profile.settings.published is not None:
        day = Day(profile, profile.settings.published)
        shape = day.hourly_load
        slots.append(
            Slots(
                on="published hours",
                grid=Grid(profile.start_us, S_PER_HOUR, len(shape)),
                loads=tuple(shape / shape.sum() * load.sum() for load in loads),
                nodes=day.hourly_nodes,
                fleet_nodes=float(profile.settings.published.peak_nodes),
            )
        )
    by_hour = tuple(hours.sums(load) for load in loads)
    slots.append(Slots(on="plan by hours", grid=hours.grid, loads=by_hour, nodes=hours.means(nodes), fleet_nodes=fleet))
    if demand.grid.interval_s != S_PER_HOUR:
        name = f"plan by {demand.grid.interval_s // 60} min"
        slots.append(Slots(on=name, grid=demand.grid, loads=loads, nodes=nodes, fleet_nodes=fleet))
    return slots


def _published_profile(market: Market) -> Profile | None:
    """The profile that the trace is drawn from; None for a stored trace."""
    settings = market.scenario.trace
    return None if settings.name is not None or settings.profile is None else load_profile(settings.profile)


def _earn(market: Market, slots: Slots, definition: Utilisation | None, elasticities: Sequence[float]) -> Basis:
    sold = _sold(market, slots, definition)
    filled = []
    if sold and all(each.load.all() for each in sold) and min(each.ratio.min() for each in sold) < 1:
        filled = [fill_quiet_hours(each.load, slots.nodes, slots.fleet_nodes, each.ratio) for each in sold]
    return Basis(
        on=slots.on,
        utilisation=definition,
        revenue_changes=tuple(
            RevenueChange(
                elasticity=elasticity,
                revenue_change_ratio=_mean(sold, [each.revenue_change(elasticity) for each in sold]) if sold else 0.0,
            )
            for elasticity in elasticities
        ),
        filled_revenue_change_ratio=_mean(sold, [each.revenue_change for each in filled]) if filled else None,
        filled_nodes_change_ratio=filled[0].nodes_change if filled else None,
    )


class _Sold(NamedTuple):
    """What one kind of customers buys. weight: its share of the revenue at list prices; load, ratio: (slots,)."""

    weight: float
    load: Floats
    ratio: Floats

    def revenue_change(self, elasticity: float) -> float:
        """Change of what these customers pay, over the slots in which they buy."""
        return revenue_change(self.load[self.load > 0], self.ratio[self.load > 0], elasticity)


def _sold(market: Market, slots: Slots, definition: Utilisation | None) -> list[_Sold]:
    """Loads and prices of the customers who buy anything."""
    if definition is None:
        ratios = [prices.ratio for prices in market.clock(slots.grid)]
    else:
        shares = utilisation(definition, slots.loads[0], slots.nodes, slots.fleet_nodes)
        ratios = [utilisation_prices(market.rule, shares)] * len(slots.loads)
    return [
        _Sold(weight=each.share_ppm * float(load.sum()), load=load, ratio=ratio)
        for each, load, ratio in zip(market.customers, slots.loads, ratios, strict=True)
        if load.any()
    ]


def _mean(sold: Sequence[_Sold], changes: Sequence[float]) -> float:
    """The mean of changes over customers, by what they pay at list prices."""
    return float(np.average(changes, weights=[each.weight for each in sold]))

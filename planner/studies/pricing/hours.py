"""The local hours of a plan, at list prices and under a rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.core.demand import Grid, local_hour_us
from planner.documents import Document, Time
from planner.studies.pricing.market import Market, Priced, held_nodes
from planner.units import S_PER_HOUR, Floats, Ints, from_us, usd


@dataclass(frozen=True)
class Hours:
    """The local hours of a plan. index: (intervals,) the hour that each interval begins in, from 0."""

    starts_us: tuple[int, ...]
    index: Ints

    @classmethod
    def of(cls, market: Market) -> "Hours":
        zone, starts = market.scenario.zone, market.base.demand.grid.starts_us
        hours, index = np.unique([local_hour_us(int(start), zone) for start in starts], return_inverse=True)
        return cls(tuple(hours.tolist()), index.astype(np.int64))

    @property
    def grid(self) -> Grid:
        return Grid(self.starts_us[0], S_PER_HOUR, len(self.starts_us))

    def sums(self, values: Sequence[int] | Floats) -> Floats:
        """Sum of every hour."""
        total: Floats = np.bincount(self.index, np.asarray(values, np.float64), len(self.starts_us)).astype(np.float64)
        return total

    def means(self, values: Floats) -> Floats:
        """Mean of every hour."""
        mean: Floats = self.sums(values) / np.bincount(self.index)
        return mean


@dataclass(frozen=True, kw_only=True)
class PricedHour(Document):
    """A local hour of the plan; `_before` is at list prices."""

    start: Time
    price_ratio: float
    """Mean price over the list price."""
    utilisation_before: float
    utilisation: float
    """As the rule defines it, mean over the hour."""
    load_change_ratio: float
    """Load over that at list prices, less 1; load is what tokens earn at list price."""
    mean_nodes_before: float
    mean_nodes: float
    """Nodes that inference holds."""
    revenue_usd_before: float
    revenue_usd: float
    cost_usd_before: float
    cost_usd: float
    """Cost of inference."""


def price_hours(priced: Priced) -> tuple[PricedHour, ...]:
    """Prices, utilisation, load, nodes and money of every local hour."""
    market, before, after = priced.market, priced.levels[0], priced.last
    hours = Hours.of(market)
    load_before, load_after = (hours.sums(market.load(each.outcome.demand)) for each in (before, after))
    change = np.divide(load_after, load_before, out=np.ones_like(load_before), where=load_before > 0) - 1
    price = hours.means(after.price_ratio)
    shares_before, shares_after = (hours.means(each.utilisation) for each in (before, after))
    nodes_before, nodes_after = (hours.means(held_nodes(each.outcome)) for each in (before, after))
    earned_before, earned_after = (hours.sums(each.revenue) for each in (before, after))
    cost_before, cost_after = (hours.sums(each.outcome.costs.inference) for each in (before, after))
    return tuple(
        PricedHour(
            start=from_us(start_us, market.scenario.zone),
            price_ratio=float(price[hour]),
            utilisation_before=float(shares_before[hour]),
            utilisation=float(shares_after[hour]),
            load_change_ratio=float(change[hour]),
            mean_nodes_before=float(nodes_before[hour]),
            mean_nodes=float(nodes_after[hour]),
            revenue_usd_before=usd(round(earned_before[hour])),
            revenue_usd=usd(round(earned_after[hour])),
            cost_usd_before=usd(round(cost_before[hour])),
            cost_usd=usd(round(cost_after[hour])),
        )
        for hour, start_us in enumerate(hours.starts_us)
    )

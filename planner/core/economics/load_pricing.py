"""Prices that follow the load: what a rule earns at fixed volume, with elastic demand, with quiet hours filled. Pure.

Load is what an hour earns at the list price, in any unit; a price is a ratio to the list price. Every change is a
ratio to the revenue at the list price and the unchanged load.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from planner.errors import UsageError
from planner.units import Floats


@dataclass(frozen=True)
class PriceRule:
    """A price, over the list price, for utilisations of at least some share."""

    from_utilisation: float
    price_ratio: float


def load_over_peak(load: ArrayLike) -> Floats:
    """Utilisation as load over the largest load. load: (hours,) above 0. Raises UsageError."""
    values = _positive("load", load)
    share: Floats = values / values.max()
    return share


def nodes_over_fleet(nodes: ArrayLike, fleet_nodes: float) -> Floats:
    """Utilisation as the share of a fleet's nodes that serve. nodes: (hours,) above 0. Raises UsageError."""
    values = _positive("nodes", nodes)
    if values.max() > fleet_nodes:
        raise UsageError(
            f"load pricing: {values.max():g} nodes serve and the fleet has {fleet_nodes:g}; correct either"
        )
    share: Floats = values / fleet_nodes
    return share


def load_per_node(load: ArrayLike, nodes: ArrayLike) -> Floats:
    """Utilisation as load per serving node over its largest value. Both (hours,) above 0. Raises UsageError."""
    values, serving = _positive("load", load), _positive("nodes", nodes)
    if values.shape != serving.shape:
        raise UsageError(
            f"load pricing: load has {values.size} hours and nodes {serving.size}; give both the same number"
        )
    return load_over_peak(values / serving)


def price_ratios(rules: Sequence[PriceRule], utilisation: ArrayLike, ramp: float = 0.0) -> Floats:
    """Price of every hour over the list price. Rules ascend in utilisation and begin at 0. Raises UsageError.

    ramp: width of utilisation, centred on where a rule begins, over which the price changes linearly to it;
    0 for a jump.
    """
    starts = [rule.from_utilisation for rule in rules]
    if not rules or starts[0] != 0 or starts != sorted(set(starts)) or min(rule.price_ratio for rule in rules) <= 0:
        raise UsageError("load pricing: rules must ascend in utilisation from 0, with prices above 0; correct them")
    shares = np.asarray(utilisation, np.float64)
    if not ((shares >= 0).all() and (shares <= 1).all()):
        raise UsageError("load pricing: utilisations must be from 0 to 1; correct them")
    prices = np.array([rule.price_ratio for rule in rules])
    if ramp and len(rules) > 1:
        ends = np.array(starts[1:])[:, None] + np.array([-ramp / 2, ramp / 2])
        sloped: Floats = np.interp(shares, ends.ravel(), np.stack([prices[:-1], prices[1:]], axis=1).ravel())
        return sloped
    chosen: Floats = prices[np.searchsorted(starts, shares, side="right") - 1]
    return chosen


def volume_ratios(prices: ArrayLike, elasticity: float) -> Floats:
    """Volume of every hour over that at the list price, for demand of constant elasticity: price ** elasticity.

    Customers stay in their hour: none moves to a cheaper one.
    """
    volume: Floats = _positive("price", prices) ** elasticity
    return volume


def revenue_change(load: ArrayLike, prices: ArrayLike, elasticity: float = 0.0) -> float:
    """Change of revenue, a ratio. load and prices: (hours,). elasticity: 0 for a fixed volume."""
    values, ratios = _positive("load", load), _positive("price", prices)
    return float((values * volume_ratios(ratios, elasticity) * ratios).sum() / values.sum() - 1)


@dataclass(frozen=True)
class FilledHours:
    """Changes, as ratios, where every hour under the list price is as full as the busiest hour, on the whole fleet."""

    revenue_change: float
    nodes_change: float


def fill_quiet_hours(load: ArrayLike, nodes: ArrayLike, fleet_nodes: float, prices: ArrayLike) -> FilledHours:
    """What the most that cheap hours can sell earns at the rule's prices, and the node-hours that it takes.

    load, nodes and prices: (hours,).
    """
    values, serving, ratios = _positive("load", load), _positive("nodes", nodes), _positive("price", prices)
    quiet = ratios < 1
    revenue = (np.where(quiet, values.max(), values) * ratios).sum()
    held = np.where(quiet, fleet_nodes, serving).sum()
    return FilledHours(float(revenue / values.sum() - 1), float(held / serving.sum() - 1))


def most_revenue_change(load: ArrayLike, nodes: ArrayLike, nodes_change: float, highest_price: float) -> float:
    """Upper bound on the change of revenue for a change of node-hours, both ratios.

    Every node-hour carries what a node carries in its fullest hour, and all of it is sold at the highest price.
    """
    values, serving = _positive("load", load), _positive("nodes", nodes)
    most = (values / serving).max() * serving.sum() * (1 + nodes_change) * highest_price
    return float(most / values.sum() - 1)


def _positive(what: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    if array.size == 0 or not (np.isfinite(array).all() and (array > 0).all()):
        raise UsageError(f"load pricing: {what} must be above 0 in every hour; correct the numbers")
    return array

"""Dynamic prices: the price of a rule in every interval, what customers then demand, what it earns. Pure.

Prices are ratios to the list price, kept as fractions of integers, so that money is exact. Customers first move
flexible demand within a day, and then demand more or less of it; both are assumptions, and both are off by default.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import ArrayLike

from planner.core.demand import Demand, Grid
from planner.core.economics.ledger import list_revenue
from planner.core.economics.load_pricing import PriceRule, load_over_peak, load_per_node, nodes_over_fleet, price_ratios
from planner.core.economics.prices import PPM, TokenRates, ppm
from planner.errors import UsageError
from planner.settings.pricing_rules import MINUTES_PER_DAY, MINUTES_PER_WEEK, PricingRule, Utilisation
from planner.units import S_PER_DAY, TOKENS_PER_PRICE, Floats, Ints, cumulative_rounding

MOST_GROWTH = 1000.0
"""Assumed: an elasticity measured near the list price says nothing of a demand a thousand times as large."""

_WEIGHT = 2**40
"""Steps in which the pull of a price is quantised; finer than any price."""

_LEAST_DAMPING = 1e-3
"""A rule that changes a thousand times as fast as the price that it sets jumps; smaller steps find nothing."""


@dataclass(frozen=True)
class IntervalPrices:
    """Price of every interval over the list price: weight / scale."""

    weight: tuple[int, ...]
    scale: int

    @property
    def ratio(self) -> Floats:
        """The same as numbers; (intervals,)."""
        return np.array(self.weight, np.float64) / self.scale


def list_prices(count: int) -> IntervalPrices:
    """The list price in every interval."""
    return IntervalPrices((PPM,) * count, PPM)


def exact_prices(ratios: ArrayLike) -> IntervalPrices:
    """Ratios in whole millionths."""
    return IntervalPrices(tuple(ppm(float(ratio)) for ratio in np.asarray(ratios, np.float64)), PPM)


def clock_prices(rule: PricingRule, grid: Grid) -> IntervalPrices:
    """Prices of a rule by the clock; an interval partly in a window has the mean price of its minutes."""
    week = [PPM] * MINUTES_PER_WEEK
    for window in rule.windows:
        for minute in window.minutes():
            week[minute] = ppm(window.price_ratio)
    minutes = replace(grid, interval_s=60, count=grid.length_s // 60).local_starts(ZoneInfo(rule.timezone))
    asked = [week[at.weekday() * MINUTES_PER_DAY + at.hour * 60 + at.minute] for at in minutes]
    each = grid.interval_s // 60
    return IntervalPrices(tuple(sum(asked[first : first + each]) for first in range(0, len(asked), each)), PPM * each)


def sheet_prices(rates: TokenRates, grid: Grid) -> IntervalPrices:
    """Prices with the discount that a price sheet states; an interval partly in it has the mean price."""
    off = PPM - rates.off_peak_ratio_ppm
    seconds = rates.off_peak_s(grid.local_starts(UTC), grid.interval_s)
    return IntervalPrices(tuple(PPM * grid.interval_s - off * inside for inside in seconds), PPM * grid.interval_s)


def price_steps(rule: PricingRule) -> list[PriceRule]:
    """The steps of a rule by utilisation."""
    return [PriceRule(step.from_utilisation, step.price_ratio) for step in rule.steps]


def utilisation(definition: Utilisation, load: ArrayLike, nodes: ArrayLike, fleet_nodes: float) -> Floats:
    """Utilisation under one of three definitions; 0 where there is no load. load and nodes: (intervals,).

    load-over-peak: load over the largest. nodes-over-fleet: nodes that inference holds over the fleet.
    load-per-node: load per such node over its largest value. Raises UsageError.
    """
    values, serving = np.asarray(load, np.float64), np.asarray(nodes, np.float64)
    if definition == "nodes-over-fleet":
        return nodes_over_fleet(serving, fleet_nodes)
    shares, busy = np.zeros(len(values)), values > 0
    if busy.any():
        by_load = definition == "load-over-peak"
        shares[busy] = load_over_peak(values[busy]) if by_load else load_per_node(values[busy], serving[busy])
    return shares


def utilisation_prices(rule: PricingRule, shares: ArrayLike) -> Floats:
    """Price ratios of a rule by utilisation. shares: (intervals,) utilisations. Raises UsageError."""
    return price_ratios(price_steps(rule), shares, rule.ramp)


@dataclass(frozen=True)
class Response:
    """How customers respond to prices; all three are assumptions.

    elasticity: at most 0; the volume of an interval is multiplied by price ** elasticity. shift: the share of demand
    that can move within 24 hours, counted from the start of the plan; it is divided among their intervals in
    proportion to the flexible demand that was there times price ** -sensitivity (a logit in the logarithm of the
    price), so at equal prices nothing moves. At sensitivity 1 each interval keeps its share of flexible spending.
    """

    elasticity: float = 0.0
    shift: float = 0.0
    sensitivity: float = 1.0

    def __post_init__(self) -> None:
        for flag, value, least, most, cure in (
            ("elasticity", self.elasticity, -10, 0, "demand does not grow with its price; use -10 to 0"),
            ("shift", self.shift, 0, 1, "it is a share of the demand; use 0 to 1"),
            ("sensitivity", self.sensitivity, 0, 100, "demand does not move to more expensive hours; use 0 to 100"),
        ):
            if not least <= value <= most:
                raise UsageError(f"--{flag} is {value:g}: {cure}")

    @property
    def active(self) -> bool:
        """Whether demand responds at all."""
        return self.elasticity != 0 or (self.shift != 0 and self.sensitivity != 0)

    def demand(self, demand: Demand, ratio: Floats) -> Demand:
        """Demand at those price ratios: integer tokens; what is shifted is conserved to the token.

        Raises UsageError for growth beyond MOST_GROWTH.
        """
        growth: Floats = ratio**self.elasticity
        if growth.max(initial=1.0) > MOST_GROWTH:
            raise UsageError(
                f"elasticity {self.elasticity:g} multiplies the demand at a price of {ratio.min():.4g} of list by "
                f"{growth.max():,.0f}, more than the limit of {MOST_GROWTH:,.0f}; use one nearer to 0"
            )
        block = max(1, S_PER_DAY // demand.grid.interval_s)
        return _each_column(demand, lambda column: np.rint(self._shifted(column, ratio, block) * growth))

    def _shifted(self, column: Ints, ratio: Floats, block: int) -> Ints:
        if not self.shift:
            return column
        days = range(0, len(column), block)
        moved = [
            _divided(column[first : first + block], ratio[first : first + block], ppm(self.shift), self.sensitivity)
            for first in days
        ]
        return np.concatenate([np.array(day, np.int64) for day in moved])


def _divided(column: Ints, ratio: Floats, share_ppm: int, sensitivity: float) -> list[int]:
    """A day's amounts with their flexible share redistributed; the sum is kept exactly, at equal prices each amount."""
    # relative to the cheapest hour that has demand, so that no weight that matters underflows
    pull = np.minimum(ratio[column > 0].min(initial=ratio.max()) / ratio, 1.0) ** sensitivity
    amounts, total = [int(amount) for amount in column], int(column.sum())
    weights = [amount * round(float(part) * _WEIGHT) for amount, part in zip(amounts, pull, strict=True)]
    whole = sum(weights)
    if not whole:
        return amounts
    kept, pool = PPM - share_ppm, total * share_ppm
    due = [amount * kept * whole + pool * weight for amount, weight in zip(amounts, weights, strict=True)]
    return cumulative_rounding(due, PPM * whole)


def _each_column(demand: Demand, change: Callable[[Ints], Floats | Ints]) -> Demand:
    """A demand with requests, cached, uncached and output tokens each changed; cached tokens stay part of the input."""
    uncached, cached, output, requests = (
        change(column).astype(np.int64)
        for column in (
            demand.input_tokens - demand.cached_input_tokens,
            demand.cached_input_tokens,
            demand.output_tokens,
            demand.requests,
        )
    )
    return Demand(
        grid=demand.grid,
        requests=requests,
        input_tokens=uncached + cached,
        cached_input_tokens=cached,
        output_tokens=output,
    )


@dataclass(frozen=True)
class Sale:
    """Part of the traffic, sold from one price sheet.

    share_ppm: of the traffic, in millionths. demand: what all traffic would ask for if it were sold like that.
    """

    share_ppm: int
    rates: TokenRates
    prices: IntervalPrices
    demand: Demand


def income(sales: Sequence[Sale], unpaid_share: float) -> list[int]:
    """What the sales earn in every interval, integer micro-dollars. Their prices have one scale."""
    scale, paid = sales[0].prices.scale, PPM - ppm(unpaid_share)
    due = [0] * len(sales[0].prices.weight)
    for sale in sales:
        assert sale.prices.scale == scale, "sales of one rule have prices on one scale"
        rows = zip(due, list_revenue(sale.demand, sale.rates), sale.prices.weight, strict=True)
        due = [sum_ + amount * weight * sale.share_ppm * paid for sum_, amount, weight in rows]
    return cumulative_rounding(due, TOKENS_PER_PRICE * PPM * PPM * scale)


def total_demand(base: Demand, parts: Sequence[tuple[int, Demand]], unpaid_share: float) -> Demand:
    """The demand of paying customers by their shares, and of those who do not pay: they stay at `base`.

    parts: share of the traffic in millionths, and what all traffic would ask for if it were sold like that. Whole
    tokens; sums over the plan are the rounded sums.
    """
    unpaid = ppm(unpaid_share)
    weighed = [(base, PPM * unpaid), *((demand, share * (PPM - unpaid)) for share, demand in parts)]

    def blended(*columns: Ints) -> Ints:
        sums = [0] * base.grid.count
        for column, (_, part) in zip(columns, weighed, strict=True):
            sums = [sum_ + int(value) * part for sum_, value in zip(sums, column, strict=True)]
        return np.array(cumulative_rounding(sums, PPM * PPM), np.int64)

    demands = [demand for demand, _ in weighed]
    cached = blended(*(each.cached_input_tokens for each in demands))
    uncached = blended(*(each.input_tokens - each.cached_input_tokens for each in demands))
    output, requests = blended(*(each.output_tokens for each in demands)), blended(*(each.requests for each in demands))
    return Demand(
        grid=base.grid,
        requests=requests,
        input_tokens=uncached + cached,
        cached_input_tokens=cached,
        output_tokens=output,
    )


@dataclass(frozen=True)
class Equilibrium:
    """The prices at which the iteration ended, and whether they agree with what follows from them.

    prices: (intervals,) ratios. residual: largest difference between a price and the rule's price for what follows
    from it. unsettled: indices of the intervals beyond the tolerance.
    """

    prices: Floats
    iterations: int
    residual: float
    unsettled: tuple[int, ...]

    @property
    def converged(self) -> bool:
        return not self.unsettled


def settle(
    start: Floats, follow: Callable[[Floats], Floats], *, most: int = 200, tolerance: float = 1e-7
) -> Equilibrium:
    """Prices that the rule confirms: follow(prices) == prices, by damped iteration.

    Every interval moves a part of the way to the price that follows, half at first, and half as much again whenever
        it has overshot. follow: prices (intervals,) to the rule's prices for the demand at them. A rule that jumps may
        have no such prices; then the nearest found are returned, marked as not converged.
    """
    prices, damping = start, np.full(len(start), 0.5)
    gap_before, best = np.zeros(len(start)), None
    for iteration in range(1, most + 1):
        gap = follow(prices) - prices
        residual = float(np.abs(gap).max(initial=0.0))
        if best is None or residual < best.residual:
            best = Equilibrium(prices, iteration, residual, tuple(np.flatnonzero(np.abs(gap) > tolerance).tolist()))
        if best.converged:
            return best
        damping = np.where(gap * gap_before < 0, damping / 2, damping)
        if damping[np.abs(gap) > tolerance].max() < _LEAST_DAMPING:
            break
        prices, gap_before = prices + damping * gap, gap
    assert best is not None, "at least one iteration is made"
    return replace(best, iterations=iteration)

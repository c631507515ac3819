"""The account of a pricing rule: hours, the same rule on published hours, on the plan's hours and intervals, notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.claims import document as what_if_document
from planner.claims.day import Day
from planner.core.demand import Grid, local_hour_us
from planner.core.economics.dynamic_pricing import utilisation, utilisation_prices
from planner.core.economics.ledger import list_revenue
from planner.core.economics.load_pricing import fill_quiet_hours, revenue_change
from planner.runs.limits import limits_missed
from planner.settings.pricing_rules import Utilisation
from planner.studies.pricing.market import DEFINITIONS, Level, Market, Priced, held_nodes
from planner.trace.synthetic.profile import Profile, load_profile
from planner.units import S_PER_HOUR, Floats, from_us, iso, usd

ELASTICITIES = (0.0, -0.5, -1.0, -1.5)
"""Assumed: fixed volume, and demand that answers less than, as much as, and more than prices change."""

TITLES = {
    "list": "list prices",
    "same-volume": "rule, same volume",
    "responding": "rule, demand answers",
    "following": "rule, prices follow",
}
"""What each level is called for people."""


@dataclass(frozen=True)
class Hours:
    """The local hours of a plan. index: (intervals,) the hour that each interval begins in, from 0."""

    starts_us: tuple[int, ...]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, market: Market) -> "Hours":
        zone, starts = market.scenario.zone, market.base.demand.grid.starts_us
        found, index = np.unique([local_hour_us(int(start), zone) for start in starts], return_inverse=True)
        return cls(tuple(found.tolist()), index.astype(np.int64))

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


def hour_rows(priced: Priced) -> list[dict[str, Any]]:
    """A row per local hour, at list prices and under the rule: prices, utilisation, load, nodes, money."""
    market, before, after = priced.market, priced.levels[0], priced.last
    hours = Hours.of(market)
    load_before, load_after = (hours.sums(market.load(each.outcome.demand)) for each in (before, after))
    busy = load_before > 0
    columns: dict[str, Sequence[float] | Floats] = {
        "price_ratio": hours.means(after.ratio),
        "utilisation_before": hours.means(before.shares),
        "utilisation": hours.means(after.shares),
        "load_change_ratio": np.divide(load_after, load_before, out=np.ones_like(load_before), where=busy) - 1,
        "mean_nodes_before": hours.means(held_nodes(before.outcome)),
        "mean_nodes": hours.means(held_nodes(after.outcome)),
        "revenue_usd_before": _usd(hours.sums(before.revenue)),
        "revenue_usd": _usd(hours.sums(after.revenue)),
        "cost_usd_before": _usd(hours.sums(before.outcome.costs.inference)),
        "cost_usd": _usd(hours.sums(after.outcome.costs.inference)),
    }
    zone = market.scenario.zone
    return [
        {"start": iso(start, zone), **{name: float(values[hour]) for name, values in columns.items()}}
        for hour, start in enumerate(hours.starts_us)
    ]


def _usd(micros: Floats) -> list[float]:
    return [usd(round(amount)) for amount in micros.tolist()]


@dataclass(frozen=True)
class Basis:
    """What a rule earns where its prices are set once and nothing is planned anew.

    on: what it is computed on. definition: of utilisation; None for a rule by the clock. changes: elasticity ->
    change of revenue, a ratio. filled_*: changes where every hour under list price is as full as the busiest, on the
    whole fleet; None where no hour is cheaper, or some have no load.
    """

    on: str
    definition: Utilisation | None
    changes: dict[float, float]
    filled_revenue_change: float | None
    filled_nodes_change: float | None

    def document(self) -> dict[str, Any]:
        return {
            "on": self.on,
            "utilisation": self.definition,
            "revenue_changes": [
                {"elasticity": elasticity, "revenue_change_ratio": change}
                for elasticity, change in self.changes.items()
            ],
            "filled_revenue_change_ratio": self.filled_revenue_change,
            "filled_nodes_change_ratio": self.filled_nodes_change,
        }


@dataclass(frozen=True)
class Slots:
    """Hours or intervals with load at list price, for each kind of customers, and nodes."""

    on: str
    grid: Grid
    loads: tuple[Floats, ...]
    nodes: Floats
    fleet_nodes: float


def bases(market: Market) -> list[Basis]:
    """The rule on the published hours where there are any, on the plan's hours and on its intervals."""
    elasticities = tuple(dict.fromkeys((*ELASTICITIES, market.response.elasticity)))
    definitions: tuple[Utilisation | None, ...] = tuple(DEFINITIONS) if market.rule.kind == "utilisation" else (None,)
    return [_basis(market, slots, definition, elasticities) for slots in _slots(market) for definition in definitions]


def _slots(market: Market) -> list[Slots]:
    demand, nodes, hours = market.base.demand, held_nodes(market.base), Hours.of(market)
    loads = [np.array(list_revenue(demand, each.rates), np.float64) for each in market.customers]
    fleet = float(market.scenario.fleet.nodes)
    found, profile = [], _published_profile(market)
    if profile is not None and profile.settings.published is not None:
        day = Day(profile, profile.settings.published)
        shape, peak = day.hourly_load, float(profile.settings.published.peak_nodes)
        published = tuple(shape / shape.sum() * load.sum() for load in loads)
        grid = Grid(profile.start_us, S_PER_HOUR, len(shape))
        found.append(Slots("published hours", grid, published, day.hourly_nodes, peak))
    by_hour = tuple(hours.sums(load) for load in loads)
    found.append(Slots("plan by hours", hours.grid, by_hour, hours.means(nodes), fleet))
    if demand.grid.interval_s != S_PER_HOUR:
        name = f"plan by {demand.grid.interval_s // 60} min"
        found.append(Slots(name, demand.grid, tuple(loads), nodes, fleet))
    return found


def _published_profile(market: Market) -> Profile | None:
    """The profile that the trace is drawn from; None for a stored trace."""
    settings = market.scenario.trace
    return None if settings.name is not None or settings.profile is None else load_profile(settings.profile)


def _basis(market: Market, slots: Slots, definition: Utilisation | None, elasticities: Sequence[float]) -> Basis:
    if definition is None:
        ratios = [prices.ratio for prices in market.clock(slots.grid)]
    else:
        shares = utilisation(definition, slots.loads[0], slots.nodes, slots.fleet_nodes)
        ratios = [utilisation_prices(market.rule, shares)] * len(slots.loads)
    sold = [
        (each.share_ppm * load.sum(), load, ratio)
        for each, load, ratio in zip(market.customers, slots.loads, ratios, strict=True)
        if load.any()
    ]
    if not sold:
        return Basis(slots.on, definition, dict.fromkeys(elasticities, 0.0), None, None)

    def mean(changes: list[float]) -> float:
        return float(np.average(changes, weights=[weight for weight, _, _ in sold]))

    changes = {
        elasticity: mean([revenue_change(load[load > 0], ratio[load > 0], elasticity) for _, load, ratio in sold])
        for elasticity in elasticities
    }
    if not all(load.all() for _, load, _ in sold) or min(ratio.min() for _, _, ratio in sold) >= 1:
        return Basis(slots.on, definition, changes, None, None)
    filled = [fill_quiet_hours(load, slots.nodes, slots.fleet_nodes, ratio) for _, load, ratio in sold]
    return Basis(slots.on, definition, changes, mean([each.revenue_change for each in filled]), filled[0].nodes_change)


def prices(market: Market) -> list[str]:
    """What the rule asks, a line per window or for all steps."""
    rule = market.rule
    if rule.kind == "utilisation":
        steps = ", ".join(f"{step.price_ratio:.0%} from {step.from_utilisation:.0%}" for step in rule.steps)
        return [f"price over list by utilisation: {steps}" + (f", ramps of {rule.ramp:.0%}" if rule.ramp else "")]
    if rule.kind == "time":
        return [
            f"{window.window} {rule.timezone} {' '.join(window.weekdays)}: {window.price_ratio:.0%} of list"
            for window in rule.windows
        ]
    found = []
    for sheet in (each.sheet for each in market.customers):
        cut = sheet.off_peak
        terms = f"{cut.window_utc} UTC: {cut.price_ratio:.0%} of list, from {cut.from_date}" if cut else "no discount"
        found.append(f"{sheet.name}, {terms}")
    return found


def notes(priced: Priced) -> list[str]:
    """What is assumed, what the plan does and does not do, and how prices and utilisation met."""
    market = priced.market
    found = [
        "fixed prices are the list prices: without the discounts of the price sheets",
        *_answer_notes(market),
        *_settling_notes(priced),
        *_clock_notes(market),
        *_policy_notes(market),
    ]
    for each in priced.levels[2:]:
        short = each.summary()["shortfall_tokens"]
        if short:
            found.append(
                f"{TITLES[each.name]}: {short:,} tokens are beyond the capacity, and the revenue counts them as served"
            )
    if market.rule.what_if is not None:
        claim = what_if_document(market.rule.what_if)
        found.append(f"claimed by {claim['source']}: {claim['claim']}")
        found.append(f"what-if {claim['name']}, {claim['verdict']}: {claim['summary']}")
    return [*found, *market.base.notes]


def _answer_notes(market: Market) -> list[str]:
    response, unpaid = market.response, market.scenario.economics.unpaid_share
    found = [
        f"elasticity {response.elasticity:g}, shift {response.shift:.0%} and sensitivity {response.sensitivity:g} are "
        "assumed: how the demand for tokens answers to prices was not published"
        if response.active
        else "customers do not answer to prices here; --elasticity and --shift let them"
    ]
    if response.active and unpaid:
        found.append(f"the {unpaid:.1%} of traffic that nobody pays for sees no price and stays as it is")
    return found


def _settling_notes(priced: Priced) -> list[str]:
    settled, market = priced.settled, priced.market
    if settled is None:
        return []
    if settled.converged:
        return [
            f"prices that follow the utilisation they lead to settle after {settled.iterations} iterations, residual "
            f"{settled.residual:.1g}; in the column before, prices are set once, by the utilisation at list prices"
        ]
    why = "the rule jumps there, and demand jumps back; --ramp 0.1 makes it slope"
    if market.definition == "nodes-over-fleet":
        why = "nodes come in whole scaling steps, so utilisation jumps; another --utilisation may settle"
    elif market.rule.ramp:
        why = "a wider --ramp or a weaker answer may settle"
    return [
        f"prices that follow the utilisation they lead to DO NOT SETTLE: after {settled.iterations} iterations those "
        f"of {len(settled.unsettled)} of {len(settled.prices)} intervals are still up to {settled.residual:.3f} from "
        f"the rule's; {why}. The last column and the hours have prices set once, by the utilisation at list prices"
    ]


def _clock_notes(market: Market) -> list[str]:
    """Where a window begins or ends inside an hour, why hours and intervals give different figures."""
    if market.rule.kind == "utilisation":
        return []
    ratio = market.first_prices[0].ratio
    if all((prices.ratio == 1).all() for prices in market.first_prices):
        begins = [each.rates.off_peak_from for each in market.customers if each.rates.off_peak_from]
        since = f": the discount holds from {min(begins):%Y-%m-%d}" if market.rule.kind == "price-sheet" else ""
        return [f"the rule changes no price on this plan{since}"]
    hours, load = Hours.of(market), market.load(market.base.demand)
    even, sold = hours.means(ratio), hours.sums(load)
    weighed = np.divide(hours.sums(load * ratio), sold, out=even.copy(), where=sold > 0)
    apart = np.flatnonzero(np.abs(weighed - even) > 1e-9)
    if not len(apart):
        return []
    zone = market.scenario.zone
    shown = "; ".join(
        f"{from_us(hours.starts_us[hour], zone):%H:%M} would pay {even[hour]:.1%} of list and pays {weighed[hour]:.1%}"
        for hour in apart[:2]
    )
    return [
        f"by hours and by intervals differ because windows begin or end inside {len(apart)} hours: by hours the load "
        "is taken as even inside one, by intervals more or less of it lies in the window, as it rises or falls. "
        f"If even, the hour from {shown}"
    ]


def _policy_notes(market: Market) -> list[str]:
    source = market.base.demand_source
    if not market.response.active or source in ("trace", "previous"):
        return []
    if source == "none":
        return [f"policy {market.base.policy} does not look at the demand: nodes stay as they are"]
    return [f"the policy sees demand of source {source}, which knows nothing of the changed prices: nodes stay"]


def missed(priced: Priced) -> list[str]:
    """The limits of the scenario that the plan under the rule misses, one line each."""
    return limits_missed(priced.market.scenario, SimpleNamespace(**priced.last.summary()))


def _level_document(each: Level, before: Level) -> dict[str, Any]:
    summary, at_list = each.summary(), before.summary()
    changes = {
        f"{name}_change_ratio": summary[key] / at_list[key] - 1 if at_list[key] else None
        for name, key in (("revenue", "revenue_usd"), ("cost", "cost_usd"), ("node_hours", "node_hours"))
    }
    return {"level": each.name, **summary, **changes}


def document(priced: Priced) -> dict[str, Any]:
    """Everything as one JSON document. Times are ISO-8601 with offset."""
    market, settled = priced.market, priced.settled
    scenario, response = market.scenario, market.response
    return {
        "scenario": scenario.name,
        "trace": market.base.trace.name,
        "policy": market.base.policy,
        "interval_s": scenario.interval_s,
        "rule": market.rule.model_dump(exclude_none=True),
        "prices": prices(market),
        "utilisation": {"definition": market.definition, "meaning": DEFINITIONS[market.definition]},
        "assumed": {
            "elasticity": response.elasticity,
            "shift": response.shift,
            "sensitivity": response.sensitivity,
        },
        "levels": [_level_document(each, priced.levels[0]) for each in priced.levels],
        "fixed_point": None
        if settled is None
        else {
            "converged": settled.converged,
            "iterations": settled.iterations,
            "residual": settled.residual,
            "unsettled_intervals": len(settled.unsettled),
        },
        "bases": [basis.document() for basis in bases(market)],
        "hours_of": priced.last.name,
        "hours": hour_rows(priced),
        "missed_limits": missed(priced),
        "notes": notes(priced),
    }

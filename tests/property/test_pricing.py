"""Dynamic prices: rules, how demand answers, what is earned, and prices that meet the utilisation they lead to."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.catalogue.claims import overlay
from planner.catalogue.read import names, price_sheet, pricing_rule
from planner.core.demand import Demand, Grid
from planner.core.economics.dynamic_pricing import (
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
from planner.core.economics.ledger import RevenueTerms, list_revenue, revenue
from planner.core.economics.load_pricing import PriceRule, price_ratios
from planner.core.economics.prices import PPM, TokenRates
from planner.errors import UsageError
from planner.settings.pricing_rules import WEEKDAYS, PricingRule
from planner.units import to_us

R1, V3 = TokenRates.of(price_sheet("deepseek-r1")), TokenRates.of(price_sheet("deepseek-v3"))
BLOG = pricing_rule("utilisation-blog")
NOON = datetime(2025, 2, 27, 12, tzinfo=UTC)
"""A Thursday."""


def demand_of(outputs: list[int], interval_s: int = 3600, start: datetime = NOON) -> Demand:
    """Intervals with so many output tokens, three times as many input tokens and half of those cached."""
    output = np.array(outputs, np.int64)
    return Demand(
        grid=Grid(to_us(start), interval_s, len(outputs)),
        requests=output // 10,
        input_tokens=3 * output,
        cached_input_tokens=3 * output // 2,
        output_tokens=output,
    )


def rule(**fields: Any) -> PricingRule:
    head = {"name": "own", "description": "ours", "provenance": "assumed", "source": "us", "kind": "time"}
    return PricingRule.model_validate({**head, **fields})


def problem(**fields: Any) -> str:
    with pytest.raises(ValueError) as caught:
        rule(**fields)
    return str(caught.value)


def columns(demand: Demand) -> list[list[int]]:
    each = (demand.requests, demand.input_tokens, demand.cached_input_tokens, demand.output_tokens)
    return [values.tolist() for values in each]


# rules


def test_every_rule_of_the_catalogue_says_where_it_comes_from() -> None:
    for name in names("pricing"):
        assert pricing_rule(name).name == name
        assert pricing_rule(name).source
    claim = overlay(BLOG.what_if or "")
    assert claim.pricing_rule == BLOG.name


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    friday = rule(windows=[{"window": "22:00-02:00", "weekdays": ["fri"], "price_ratio": 0.5}])
    week = clock_prices(friday, Grid(to_us(datetime(2025, 2, 24, tzinfo=UTC)), 3600, 7 * 24)).ratio
    cheap = [4 * 24 + 22, 4 * 24 + 23, 5 * 24, 5 * 24 + 1]
    assert np.flatnonzero(week == 0.5).tolist() == cheap
    assert np.flatnonzero(week == 1).tolist() == [hour for hour in range(7 * 24) if hour not in cheap]


def test_a_window_is_by_the_clock_of_its_zone() -> None:
    night = rule(timezone="Asia/Shanghai", windows=[{"window": "00:30-08:30", "price_ratio": 0.25}])
    grid = Grid(to_us(NOON), 900, 96)
    assert clock_prices(night, grid).ratio.tolist() == sheet_prices(R1, grid).ratio.tolist()


def test_an_interval_partly_in_a_window_has_the_mean_price_of_its_minutes() -> None:
    own = rule(windows=[{"window": "12:45-13:30", "price_ratio": 0.2}, {"window": "13:30-14:00", "price_ratio": 2}])
    assert clock_prices(own, Grid(to_us(NOON), 3600, 3)).ratio.tolist() == pytest.approx([0.8, 1.1, 1.0])


windows = st.lists(
    st.tuples(st.integers(0, 1439), st.integers(1, 1440), st.sets(st.sampled_from(WEEKDAYS), min_size=1)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=25)
@given(windows, st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]))
def test_windows_hold_where_a_walk_through_the_week_says(drawn: list[tuple[int, int, set[str]]], zone: str) -> None:
    """Minute by minute, by asking every window of today and yesterday; windows that overlap are refused."""
    texts = [
        {
            "window": f"{start // 60:02d}:{start % 60:02d}-{end // 60:02d}:{end % 60:02d}",
            "weekdays": sorted(days),
            "price_ratio": 0.5 + index,
        }
        for index, (start, end, days) in enumerate(drawn)
        if start != end
    ]

    def holding(at: datetime) -> list[float]:
        found = []
        for text in texts:
            start, end = ((int(part[:2]) * 60 + int(part[3:])) for part in str(text["window"]).split("-"))
            minute, today = at.hour * 60 + at.minute, WEEKDAYS[at.weekday()]
            yesterday = WEEKDAYS[(at.weekday() - 1) % 7]
            over = end < start
            inside = today in text["weekdays"] and start <= minute and (over or minute < end)
            inside |= over and yesterday in text["weekdays"] and minute < end
            found += [text["price_ratio"]] if inside else []
        return found

    monday = datetime(2025, 2, 24, tzinfo=UTC)
    walk = [holding(monday + timedelta(minutes=minute)) for minute in range(7 * 1440)]
    if max(len(prices) for prices in walk) > 1 or not texts:
        assert "overlap" in problem(windows=texts) or not texts
        return
    grid = Grid(to_us(datetime(2025, 2, 24, tzinfo=ZoneInfo(zone))), 1800, 48)
    slow = [[(prices or [1.0])[0] for prices in walk[30 * index : 30 * index + 30]] for index in range(48)]
    fast = clock_prices(rule(timezone=zone, windows=texts), grid).ratio
    assert fast.tolist() == pytest.approx([sum(prices) / 30 for prices in slow])


@pytest.mark.parametrize(
    ("fields", "cure"),
    [
        ({}, "needs windows"),
        ({"windows": [{"window": "25:00-26:00", "price_ratio": 1}]}, "HH:MM-HH:MM"),
        ({"windows": [{"window": "08:00-08:00", "price_ratio": 1}]}, "empty"),
        ({"windows": [{"window": "08:00-09:00", "price_ratio": 0}]}, "greater than 0"),
        ({"windows": [{"window": "08:00-09:00", "price_ratio": float("nan")}]}, "price_ratio"),
        ({"windows": [{"window": "08:00-09:00", "price_ratio": 1, "weekdays": []}]}, "weekdays"),
        ({"windows": [{"window": "08:00-09:00", "price_ratio": 1}], "timezone": "Mars"}, "IANA"),
        ({"windows": [{"window": "08:00-09:00", "price_ratio": 1}], "ramp": 0.1}, "remove utilisation and ramp"),
        ({"kind": "price-sheet", "windows": [{"window": "08:00-09:00", "price_ratio": 1}]}, "has no windows"),
        ({"kind": "utilisation"}, "needs steps"),
        ({"kind": "utilisation", "steps": [{"from_utilisation": 0.5, "price_ratio": 1}]}, "the first at 0"),
        (
            {"windows": [{"window": "22:00-02:00", "price_ratio": 1}, {"window": "01:59-03:00", "price_ratio": 2}]},
            "1 and 2 overlap on mon at 01:59",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_cure(fields: dict[str, Any], cure: str) -> None:
    assert cure in problem(**fields)


def test_a_ramp_is_a_straight_line_around_a_step() -> None:
    steps = [PriceRule(0.0, 0.7), PriceRule(0.5, 1.0), PriceRule(0.8, 1.2)]
    shares = [0.0, 0.45, 0.475, 0.5, 0.55, 0.7, 0.8, 0.85, 1.0]
    assert price_ratios(steps, shares, 0.1).tolist() == pytest.approx([0.7, 0.7, 0.775, 0.85, 1, 1, 1.1, 1.2, 1.2])
    assert price_ratios(steps[:1], shares, 0.1).tolist() == [0.7] * 9
    wide = {"kind": "utilisation", "steps": [step.model_dump() for step in BLOG.steps]}
    assert rule(**wide, ramp=0.3).ramp == 0.3
    assert "overlap, or reach below 0" in problem(**wide, ramp=0.31)


def test_utilisation_under_each_definition_by_hand_and_nothing_where_there_is_no_load() -> None:
    load, nodes = [10.0, 0.0, 6.0], [5.0, 4.0, 4.0]
    assert utilisation("load-over-peak", load, nodes, 10).tolist() == [1, 0, 0.6]
    assert utilisation("nodes-over-fleet", load, nodes, 10).tolist() == [0.5, 0.4, 0.4]
    assert utilisation("load-per-node", load, nodes, 10).tolist() == [1, 0, 0.75]
    assert utilisation("load-over-peak", [0.0, 0.0], [1, 1], 10).tolist() == [0, 0]


# what demand does


def test_constant_elasticity_by_hand() -> None:
    answered = Response(elasticity=-0.5).demand(demand_of([1000, 1000, 1000]), np.array([0.25, 1.0, 4.0]))
    assert answered.output_tokens.tolist() == [2000, 1000, 500]
    assert answered.input_tokens.tolist() == [6000, 3000, 1500]
    assert answered.cached_input_tokens.tolist() == [3000, 1500, 750]
    assert answered.requests.tolist() == [200, 100, 50]


def test_flexible_demand_moves_to_cheap_hours_by_hand() -> None:
    """Half of each is flexible, 500 + 500; a price of a third pulls three times as hard: 250 and 750."""
    answered = Response(shift=0.5).demand(demand_of([1000, 1000]), np.array([1.0, 1 / 3]))
    assert answered.output_tokens.tolist() == [750, 1250]
    squared = Response(shift=0.5, sensitivity=2).demand(demand_of([1000, 1000]), np.array([1.0, 1 / 3]))
    assert squared.output_tokens.tolist() == [600, 1400]


def test_an_hour_without_demand_attracts_none_and_hides_no_other() -> None:
    moved = Response(shift=0.5, sensitivity=100).demand(demand_of([0, 1000, 1000]), np.array([0.01, 19.0, 20.0]))
    assert moved.output_tokens[0] == 0
    assert moved.output_tokens[1] > 1490


def test_demand_moves_within_24_hours_and_no_further() -> None:
    hours, ratio = demand_of([100] * 48), np.ones(48)
    ratio[30] = 0.1
    moved = Response(shift=0.3).demand(hours, ratio).output_tokens
    assert moved[:24].tolist() == [100] * 24
    assert moved[24:].sum() == 2400
    assert moved[30] > 100


days = st.lists(st.tuples(st.integers(0, 10**12), st.floats(0.05, 20)), min_size=1, max_size=60)


@given(days, st.floats(0, 1), st.floats(0, 10))
def test_shifting_conserves_every_kind_of_token(day: list[tuple[int, float]], shift: float, sensitivity: float) -> None:
    demand, ratio = demand_of([output for output, _ in day]), np.array([price for _, price in day])
    moved = Response(0.0, shift, sensitivity).demand(demand, ratio)
    assert [sum(column) for column in columns(moved)] == [sum(column) for column in columns(demand)]
    assert (moved.cached_input_tokens <= moved.input_tokens).all()
    assert min(min(column) for column in columns(moved)) >= 0


@given(days, st.floats(0, 1), st.floats(0.1, 10))
def test_demand_moves_from_dear_to_cheap(day: list[tuple[int, float]], shift: float, sensitivity: float) -> None:
    demand, ratio = demand_of([output for output, _ in day[:24]]), np.array([price for _, price in day[:24]])
    moved = Response(0.0, shift, sensitivity).demand(demand, ratio).output_tokens
    before = float((demand.output_tokens * ratio).sum())
    # a token may be rounded into any hour
    assert float((moved * ratio).sum()) <= before * (1 + 1e-9) + len(day) * ratio.max()


@given(days, st.floats(0, 1), st.floats(0, 10))
def test_equal_prices_move_nothing(day: list[tuple[int, float]], shift: float, sensitivity: float) -> None:
    demand = demand_of([output for output, _ in day])
    moved = Response(0.0, shift, sensitivity).demand(demand, np.full(len(day), day[0][1]))
    assert columns(moved) == columns(demand)


@given(days)
def test_without_elasticity_and_shift_the_volume_is_fixed(day: list[tuple[int, float]]) -> None:
    demand = demand_of([output for output, _ in day])
    assert columns(Response().demand(demand, np.array([price for _, price in day]))) == columns(demand)
    assert not Response().active
    assert not Response(shift=0.5, sensitivity=0).active


@given(st.lists(st.tuples(st.integers(0, 10**9), st.floats(0.1, 10)), min_size=1, max_size=24), st.randoms())
def test_the_order_of_the_hours_of_a_day_does_not_matter(day: list[tuple[int, float]], random: Any) -> None:
    response, other = Response(-0.7, 0.4, 1.5), list(day)
    random.shuffle(other)

    def answered(hours: list[tuple[int, float]]) -> list[tuple[float, int, int]]:
        demand = demand_of([output for output, _ in hours])
        found = response.demand(demand, np.array([price for _, price in hours])).output_tokens
        return sorted((price, output, int(after)) for (output, price), after in zip(hours, found, strict=True))

    for one, two in zip(answered(day), answered(other), strict=True):
        # rounding is carried from hour to hour, before volumes grow by up to 10 ** 0.7
        assert one[:2] == two[:2]
        assert abs(one[2] - two[2]) <= 7


@given(days, st.integers(2, 1000))
def test_the_answer_scales_with_the_demand(day: list[tuple[int, float]], factor: int) -> None:
    response, ratio = Response(-0.7, 0.4, 1.5), np.array([price for _, price in day])
    small, large = (
        response.demand(demand_of([times * output for output, _ in day]), ratio).output_tokens for times in (1, factor)
    )
    # a token may be rounded into the next hour, and grow eightfold at the lowest price
    assert large / factor == pytest.approx(small, abs=20, rel=1e-9)


def test_growth_beyond_reason_is_refused() -> None:
    with pytest.raises(UsageError, match=r"at a price of 0\.1 of list by 10,000, more than the limit of 1,000"):
        Response(elasticity=-4).demand(demand_of([1, 1]), np.array([1.0, 0.1]))


@pytest.mark.parametrize(
    ("field", "value"),
    [("elasticity", 0.5), ("elasticity", float("nan")), ("shift", -0.1), ("shift", 1.1), ("sensitivity", -1)],
)
def test_an_answer_that_cannot_be_meant_is_refused(field: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"--{field} is"):
        Response(**{field: value})


# what is earned


def sales(demand: Demand, prices: list[IntervalPrices], other_share: float) -> list[Sale]:
    other = round(other_share * PPM)
    shares = (PPM - other, other)
    return [Sale(part, rates, asked, demand) for part, rates, asked in zip(shares, (R1, V3), prices, strict=True)]


amounts = st.lists(st.integers(0, 10**12), min_size=1, max_size=50)


@given(amounts, st.floats(0, 1), st.floats(0, 1))
def test_at_list_prices_sales_earn_what_the_ledger_says(outputs: list[int], other: float, unpaid: float) -> None:
    demand = demand_of(outputs)
    ledger = revenue(
        demand, RevenueTerms(rates=R1, other_rates=V3, other_share=other, off_peak=False, unpaid_share=unpaid)
    )
    at_list = [list_prices(len(outputs))] * 2
    assert income(sales(demand, at_list, other), unpaid) == ledger.expected


@given(amounts, st.floats(0, 1), st.floats(0, 1), st.sampled_from([900, 3600]))
def test_with_the_sheets_discounts_too(outputs: list[int], other: float, unpaid: float, interval_s: int) -> None:
    demand = demand_of(outputs, interval_s)
    ledger = revenue(
        demand, RevenueTerms(rates=R1, other_rates=V3, other_share=other, off_peak=True, unpaid_share=unpaid)
    )
    discounted = [sheet_prices(rates, demand.grid) for rates in (R1, V3)]
    assert income(sales(demand, discounted, other), unpaid) == ledger.expected


def test_a_price_multiplies_what_is_earned() -> None:
    demand = demand_of([1_000_000, 1_000_000])
    listed = 2_190_000 + 1_500_000 * (0.14 + 0.55)
    earned = income([Sale(PPM, R1, exact_prices([1.2, 0.7]), demand)], 0.0)
    assert earned == [round(1.2 * listed), round(0.7 * listed)]


@given(amounts, st.floats(0, 1), st.floats(0, 1))
def test_unchanged_demands_add_up_to_the_demand(outputs: list[int], other: float, unpaid: float) -> None:
    demand, part = demand_of(outputs), round(other * PPM)
    assert columns(total_demand(demand, [(PPM - part, demand), (part, demand)], unpaid)) == columns(demand)


@given(days, st.floats(0, 1), st.floats(0, 1))
def test_shifted_demands_of_two_sheets_add_up_to_the_volume(
    day: list[tuple[int, float]], other: float, unpaid: float
) -> None:
    demand, part = demand_of([output for output, _ in day]), round(other * PPM)
    ratio = np.array([price for _, price in day])
    one, two = (Response(0.0, 0.6, 1.0).demand(demand, each) for each in (ratio, 1 / ratio))
    both = total_demand(demand, [(PPM - part, one), (part, two)], unpaid)
    assert [sum(column) for column in columns(both)] == [sum(column) for column in columns(demand)]


def test_who_does_not_pay_sees_no_price() -> None:
    demand = demand_of([1000, 1000])
    doubled = Response(elasticity=-0.5).demand(demand, np.array([0.25, 1.0]))
    assert total_demand(demand, [(PPM, doubled)], 0.75).output_tokens.tolist() == [1250, 1000]


@given(st.lists(st.integers(10**6, 10**9), min_size=1, max_size=24), st.floats(0.2, 5))
def test_at_unit_elasticity_any_price_earns_the_same(outputs: list[int], price: float) -> None:
    demand, asked = demand_of(outputs), exact_prices([price] * len(outputs))
    answered = Response(elasticity=-1.0).demand(demand, asked.ratio)
    listed = sum(list_revenue(demand, R1)) / 10**6
    assert sum(income([Sale(PPM, R1, asked, answered)], 0.0)) == pytest.approx(listed, rel=1e-5)


# prices that follow the utilisation they lead to


def follow_of(load: list[float], elasticity: float, ramp: float) -> Any:
    """The blog's rule on load over peak, by hand."""
    steps = [PriceRule(step.from_utilisation, step.price_ratio) for step in BLOG.steps]

    def follow(prices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        answered = np.array(load) * prices**elasticity
        return price_ratios(steps, answered / answered.max(), ramp)

    return follow


@given(
    st.lists(st.floats(0.05, 1), min_size=1, max_size=24),
    st.floats(-1.5, 0),
    st.sampled_from([0.05, 0.1, 0.3]),
)
def test_a_rule_without_jumps_settles_and_its_prices_are_confirmed(
    load: list[float], elasticity: float, ramp: float
) -> None:
    follow = follow_of(load, elasticity, ramp)
    settled = settle(follow(np.ones(len(load))), follow)
    assert settled.converged
    assert np.abs(follow(settled.prices) - settled.prices).max() <= 1e-7
    assert settled.residual == np.abs(follow(settled.prices) - settled.prices).max()


def test_a_fixed_point_by_hand() -> None:
    """price = 2 - price / 2 for the first, and 1 whatever happens for the second: 4/3 and 1."""
    settled = settle(np.ones(2), lambda prices: np.array([2 - prices[0] / 2, 1.0]))
    assert settled.converged
    assert settled.prices.tolist() == pytest.approx([4 / 3, 1.0], abs=1e-7)


def test_steep_answers_are_damped_until_they_settle() -> None:
    """A slope of -50 would throw an undamped iteration further away at every step."""
    settled = settle(np.array([0.5]), lambda prices: 1 - 50 * (prices - 1))
    assert settled.converged
    assert settled.prices[0] == pytest.approx(1.0, abs=1e-8)


def test_a_jump_that_demand_jumps_back_over_does_not_settle_and_says_so() -> None:
    """At 1.2 a load of 0.81 falls under 0.8 and the price to 1, where it is over 0.8 again: prices meet at the jump."""

    def follow(prices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.where(np.array([0.81, 0.5]) * prices**-0.5 >= 0.8, 1.2, 1.0)

    settled = settle(np.array([1.2, 1.0]), follow)
    assert not settled.converged
    assert settled.unsettled == (0,)
    # between 1.2 and 1, where 0.81 * price ** -0.5 is 0.8, no price is the rule's
    assert settled.residual == pytest.approx((0.81 / 0.8) ** 2 - 1, abs=1e-3)
    assert settled.iterations < 200
    assert settle(np.array([1.2, 1.0]), follow, most=3).iterations == 3


def test_where_a_rule_that_jumps_does_not_settle_no_prices_of_its_would() -> None:
    """All combinations of its three prices are tried, on days of up to five hours drawn with one seed."""
    random, outcomes = np.random.default_rng(1), set()
    for _ in range(150):
        load = random.uniform(0.05, 1, random.integers(1, 6)).tolist()
        follow = follow_of(load, -random.uniform(0, 1.5), 0.0)
        tried = (np.array(prices) for prices in itertools.product((0.7, 1.0, 1.2), repeat=len(load)))
        exists = any((follow(prices) == prices).all() for prices in tried)
        assert settle(follow(np.ones(len(load))), follow).converged == exists
        outcomes.add(exists)
    assert outcomes == {True, False}


def test_what_does_not_change_is_settled_at_once() -> None:
    settled = settle(np.array([1.2, 0.7]), lambda _: np.array([1.2, 0.7]))
    assert (settled.converged, settled.iterations, settled.residual) == (True, 1, 0.0)
    assert utilisation_prices(BLOG, [1.0, 0.3, 0.6]).tolist() == [1.2, 0.7, 1.0]


def test_a_rule_is_read_from_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'name = "own"\ndescription = "d"\nkind = "time"\nprovenance = "assumed"\nsource = "us"\n'
        '[[windows]]\nwindow = "00:00-06:00"\nweekdays = ["sat", "sun"]\nprice_ratio = 0.5\n'
    )
    assert pricing_rule("own.toml").windows[0].weekdays == ("sat", "sun")

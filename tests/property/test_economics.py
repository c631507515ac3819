"""Cost and revenue, to the micro-dollar."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.read import price_sheet
from planner.core.demand import Demand, Grid
from planner.core.economics.ledger import RevenueTerms, costs, margin_ratio, revenue
from planner.core.economics.prices import TokenRates, node_hour_micros
from planner.units import round_half_up, to_us

R1, V3 = TokenRates.of(price_sheet("deepseek-r1")), TokenRates.of(price_sheet("deepseek-v3"))


def demand_at(start: datetime, tokens: list[tuple[int, int, int]], interval_s: int = 900) -> Demand:
    inputs, cached, outputs = (np.array(values, np.int64) for values in zip(*tokens, strict=True))
    grid = Grid(to_us(start), interval_s, len(tokens))
    return Demand(
        grid=grid,
        requests=np.ones_like(inputs),
        input_tokens=inputs,
        cached_input_tokens=cached,
        output_tokens=outputs,
    )


def terms(other_share: float = 0.0, off_peak: bool = False, unpaid_share: float = 0.0) -> RevenueTerms:
    return RevenueTerms(rates=R1, other_rates=V3, other_share=other_share, off_peak=off_peak, unpaid_share=unpaid_share)


def test_a_node_hour_of_eight_gpus_at_two_dollars_costs_sixteen() -> None:
    spent = costs(np.array([3600, 1800]), np.array([0, 1800]), 7200, node_hour_micros(2.0, 8), 0.5)
    assert spent.inference == [16_000_000, 8_000_000]
    assert spent.training == [0, 8_000_000]
    assert spent.idle == [16_000_000, 16_000_000]
    assert spent.fleet == [32_000_000, 32_000_000]
    assert spent.training_charge == [0, 4_000_000]


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), min_size=1, max_size=50), st.integers(1, 10**8)
)
def test_inference_training_and_idle_always_add_up_to_the_fleet(shares: list[tuple[int, int]], rate: int) -> None:
    fleet = 2 * 10**6
    spent = costs(np.array([a for a, _ in shares]), np.array([b for _, b in shares]), fleet, rate, 1.0)
    parts = zip(spent.inference, spent.training, spent.idle, strict=True)
    assert [sum(part) for part in parts] == spent.fleet
    assert sum(spent.fleet) == round_half_up(fleet * len(shares) * rate, 3600)


def test_a_million_tokens_of_each_kind_earn_the_list_price() -> None:
    demand = demand_at(datetime(2025, 2, 27, 4, tzinfo=UTC), [(2_000_000, 1_000_000, 1_000_000)])
    assert revenue(demand, terms()).theoretical == [140_000 + 550_000 + 2_190_000]


def test_the_published_totals_earn_what_was_published_within_their_rounding() -> None:
    demand = demand_at(datetime(2025, 2, 27, 4, tzinfo=UTC), [(608 * 10**9, 342 * 10**9, 168 * 10**9)])
    assert sum(revenue(demand, terms()).theoretical) == 562_100 * 10**6
    assert sum(revenue(demand, terms(other_share=1.0)).expected) == 280_560 * 10**6


def test_the_off_peak_discount_holds_from_half_past_four_to_half_past_midnight_utc() -> None:
    million = (1_000_000, 0, 0)
    start = datetime(2025, 2, 27, 16, 15, tzinfo=UTC)
    earned = revenue(demand_at(start, [million, million]), terms(off_peak=True))
    assert earned.expected == [550_000, 137_500]
    over_midnight = revenue(
        demand_at(datetime(2025, 2, 28, 0, 15, tzinfo=UTC), [million, million]), terms(off_peak=True)
    )
    assert over_midnight.expected == [137_500, 550_000]
    before_it_came = revenue(demand_at(datetime(2025, 2, 25, 17, tzinfo=UTC), [million]), terms(off_peak=True))
    assert before_it_came.expected == [550_000]


def test_an_interval_half_inside_the_discount_gets_half_of_it() -> None:
    demand = demand_at(datetime(2025, 2, 27, 16, tzinfo=UTC), [(1_000_000, 0, 0)], interval_s=3600)
    assert revenue(demand, terms(off_peak=True)).expected == [round((550_000 + 137_500) / 2)]


def test_the_waterfall_leads_from_theoretical_to_expected() -> None:
    start = datetime(2025, 2, 27, 17, tzinfo=UTC)
    earned = revenue(demand_at(start, [(0, 0, 1_000_000)]), terms(other_share=0.5, off_peak=True, unpaid_share=0.2))
    # 2.19 at list; half at 1.10: 1.645; at night R1 at 25 %, V3 at 50 %: 0.27375 + 0.275 = 0.54875; four fifths paid
    assert [amount for _, amount in earned.steps] == [2_190_000, -545_000, -1_096_250, -109_750, 439_000]
    assert earned.expected == [439_000]


@given(
    st.lists(st.tuples(st.integers(0, 10**12), st.floats(0, 1), st.integers(0, 10**12)), min_size=1, max_size=40),
    st.floats(0, 1),
    st.booleans(),
    st.floats(0, 1),
)
def test_the_steps_add_up_and_intervals_sum_to_the_levels(
    rows: list[tuple[int, float, int]], other: float, off_peak: bool, unpaid: float
) -> None:
    tokens = [(total, int(total * hit), output) for total, hit, output in rows]
    earned = revenue(demand_at(datetime(2025, 2, 27, tzinfo=UTC), tokens), terms(other, off_peak, unpaid))
    amounts = [amount for _, amount in earned.steps]
    assert sum(amounts[:-1]) == amounts[-1] == sum(earned.expected)
    assert amounts[0] == sum(earned.theoretical)
    assert 0 <= amounts[-1] <= amounts[0] + 1


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_cost_grows_with_the_rate(node_s: int, rate: int) -> None:
    cheap, dear = (
        costs(np.array([node_s]), np.array([0]), 10**9, price, 1.0).inference[0] for price in (rate, 2 * rate)
    )
    assert dear >= cheap


def test_the_margin_of_nothing_spent_is_not_a_number_and_is_left_out() -> None:
    assert margin_ratio(0, 10) is None
    assert margin_ratio(100, 645) == pytest.approx(5.45)

"""Conversions are exact."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner import units


def test_a_dollar_per_million_tokens_is_kept_to_the_micro_dollar() -> None:
    assert units.micros(0.14) == 140_000
    assert units.micros(0.1375) == 137_500
    assert units.micros(2) == 2_000_000


def test_an_amount_finer_than_a_micro_dollar_is_refused() -> None:
    with pytest.raises(ValueError, match="finer than a micro-dollar"):
        units.micros(0.0000001)


@given(st.lists(st.integers(0, 10**15), min_size=1), st.integers(1, 10**12))
def test_rounded_parts_add_up_to_the_rounded_whole(parts: list[int], denominator: int) -> None:
    rounded = units.cumulative_rounding(parts, denominator)
    assert sum(rounded) == units.round_half_up(sum(parts), denominator)
    assert all(abs(Fraction(part, denominator) - whole) <= 1 for part, whole in zip(parts, rounded, strict=True))


@given(st.integers(0, 4_000_000_000_000_000))
def test_times_survive_the_way_to_datetime_and_back(at_us: int) -> None:
    assert units.to_us(units.from_us(at_us)) == at_us

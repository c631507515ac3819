"""Units for a demand on a region: monotone, in proportion, and what a slow search along the ray finds."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.fleet.region import CapacityRegion

rates = st.integers(0, 10_000).map(float)
tokens = st.integers(0, 1_000_000).map(float)


@st.composite
def regions(draw: st.DrawFn) -> CapacityRegion:
    """Any region, hollow ones among them: corners need not bulge."""
    count = draw(st.integers(1, 6))
    least = 1 if count == 1 else 0
    inputs, outputs = (
        sorted(draw(st.lists(st.integers(least, 10_000), min_size=count, max_size=count, unique=True)))
        for _ in range(2)
    )
    return CapacityRegion(tuple((float(x), float(y)) for x, y in zip(inputs, reversed(outputs), strict=True)))


def carried(region: CapacityRegion, inputs: float, outputs: float) -> bool:
    """Whether one unit carries two rates, by what a region means."""
    first, last = region.pairs[0], region.pairs[-1]
    if inputs <= first[0]:
        return outputs <= first[1]
    if inputs > last[0]:
        return False
    for (x, y), (after, below) in pairwise(region.pairs):
        if inputs <= after:
            return outputs <= y + (below - y) * (inputs - x) / (after - x)
    raise AssertionError(f"{inputs} is between no corners")


def searched(region: CapacityRegion, inputs: float, outputs: float) -> float:
    """Units by halving: the least number whose even share of the demand is carried."""
    low, high = 0.0, 1.0
    while not carried(region, inputs / high, outputs / high):
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (low, middle) if middle > 0 and carried(region, inputs / middle, outputs / middle) else (middle, high)
        )
    return high


@given(regions(), tokens, tokens)
def test_units_are_those_that_a_search_along_the_ray_finds(
    region: CapacityRegion, inputs: float, outputs: float
) -> None:
    assert float(region.units(inputs, outputs)) == pytest.approx(searched(region, inputs, outputs), rel=1e-9, abs=1e-9)


@given(regions(), tokens, tokens, tokens, tokens)
def test_more_of_either_kind_never_takes_fewer_units(
    region: CapacityRegion, inputs: float, outputs: float, more_inputs: float, more_outputs: float
) -> None:
    few, many = region.units([inputs, inputs + more_inputs], [outputs, outputs + more_outputs])
    assert few <= many * (1 + 1e-12)


@given(regions(), tokens, tokens, st.floats(1e-3, 1e3))
def test_units_are_in_proportion_to_demand_and_inverse_to_time_and_to_scale(
    region: CapacityRegion, inputs: float, outputs: float, factor: float
) -> None:
    once = float(region.units(inputs, outputs))
    assert float(region.units(factor * inputs, factor * outputs)) == pytest.approx(factor * once, rel=1e-9)
    assert float(region.units(inputs, outputs, factor)) == pytest.approx(once / factor, rel=1e-9)
    assert float(region.scaled(factor).units(inputs, outputs)) == pytest.approx(once / factor, rel=1e-9)


@given(regions(), st.floats(0, 1))
def test_corners_and_what_lies_between_them_take_one_unit(region: CapacityRegion, share: float) -> None:
    corners = np.array(region.pairs)
    assert region.units(*corners.T) == pytest.approx(1.0, rel=1e-12)
    between = share * corners[:-1] + (1 - share) * corners[1:]
    assert region.units(*between.T) == pytest.approx(1.0, rel=1e-9)


@given(regions(), tokens, tokens)
def test_a_demand_takes_at_least_what_each_kind_would_alone(
    region: CapacityRegion, inputs: float, outputs: float
) -> None:
    most_input, most_output = region.most
    taken = float(region.units(inputs, outputs))
    assert taken >= max(inputs / most_input, outputs / most_output) * (1 - 1e-12)

"""What a unit carries that does both: computed by hand."""

import numpy as np
import pytest

from planner.core.fleet.region import CapacityRegion
from planner.errors import UsageError

THREE = CapacityRegion(((0.0, 100.0), (200.0, 80.0), (400.0, 0.0)))


@pytest.mark.parametrize(
    ("inputs", "outputs", "units"),
    [
        (0, 0, 0.0),
        (0, 50, 0.5),  # the corner of all output
        (800, 0, 2.0),  # that of all input
        (200, 80, 1.0),  # a corner itself
        (400, 160, 2.0),
        (100, 90, 1.0),  # half way between corners
        (300, 40, 1.0),
        # input = output meets the first line, input + 10 output = 1000, at 90.909...
        (1000, 1000, 11.0),
        # four to one meets the second, 2 input + 5 output = 800, at (800 / 13) (4, 1) ... 4 * 2 + 5 = 13
        (4 * 800, 800, 13.0),
    ],
)
def test_a_demand_takes_the_times_that_it_is_longer_than_the_ray_of_its_mix(
    inputs: float, outputs: float, units: float
) -> None:
    assert float(THREE.units(inputs, outputs)) == pytest.approx(units, rel=1e-12)


def test_a_single_corner_is_a_rectangle() -> None:
    region = CapacityRegion(((200.0, 50.0),))
    assert region.units([200, 200, 0, 100, 600], [50, 0, 50, 50, 60]).tolist() == pytest.approx([1, 1, 1, 1, 3])


def test_beyond_its_outermost_corners_a_unit_carries_what_these_carry() -> None:
    region = CapacityRegion(((100.0, 50.0), (200.0, 20.0)))
    assert region.units([0, 50, 200, 200], [50, 50, 0, 10]).tolist() == pytest.approx([1, 1, 1, 1])


def test_tokens_of_a_time_take_as_many_units_as_the_rate_does() -> None:
    taken = THREE.units(np.array([[200 * 900], [100 * 900]]), np.array([80 * 900, 90 * 900]), 900)
    assert taken.shape == (2, 2)
    assert [taken[0, 0], taken[1, 1]] == pytest.approx([1.0, 1.0])


def test_a_scaled_region_carries_so_many_times_as_much_at_any_mix() -> None:
    assert THREE.scaled(2.0) == CapacityRegion(((0.0, 200.0), (400.0, 160.0), (800.0, 0.0)))
    assert float(THREE.scaled(2.0).units(300, 40)) == pytest.approx(0.5)


def test_the_most_of_each_kind_is_that_of_the_ends() -> None:
    assert THREE.most == (400.0, 100.0)


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        ((0.0, 0.0),),
        ((100.0, 0.0),),
        ((0.0, 100.0),),
        ((100.0, 50.0), (200.0, 50.0)),
        ((100.0, 50.0), (100.0, 20.0)),
        ((200.0, 20.0), (100.0, 50.0)),
        ((-1.0, 50.0), (100.0, 20.0)),
        ((1.0, float("nan")), (100.0, 20.0)),
        ((1.0, 50.0), (float("inf"), 20.0)),
    ],
)
def test_corners_out_of_order_are_refused(pairs: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(UsageError, match="go up in input and down in output; these do not: "):
        CapacityRegion(pairs)


@pytest.mark.parametrize("demand", [(-1, 0), (0, -1), (float("nan"), 1)])
def test_less_than_no_tokens_are_refused(demand: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="at least 0"):
        THREE.units(*demand)

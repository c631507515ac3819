"""The demand of a mixed fleet's pools, by hand: four intervals, two pools."""

import numpy as np
import pytest

from planner.core.demand import Demand, Grid
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.mixing import PoolNodes, nodes_per_request_s, one_pool, parts_of, split_demand
from planner.errors import UsageError
from planner.units import Floats
from tests.conftest import small_scenario
from tests.helpers.mixed import APART, BOTH

POOLS = (
    PoolNodes(name="both", nodes=4, floor=1, usd_per_node_hour=4.0),
    PoolNodes(name="apart", nodes=12, floor=3, usd_per_node_hour=2.0),
)
INPUT, OUTPUT = np.array([4800, 0, 9600, 0]), np.array([1200, 2400, 240, 9000])
"""Tokens of four minutes, a request in each. On the first pool they take 2, 2, 2.8 and 7.5 nodes, on the second 24, 12,
48 and 45."""


def demand(inputs: np.ndarray, outputs: np.ndarray, cached: np.ndarray | None = None) -> Demand:
    none = np.zeros(len(inputs), np.int64)
    return Demand(
        grid=Grid(0, 60, len(inputs)),
        requests=none + 1,
        input_tokens=inputs.astype(np.int64),
        cached_input_tokens=none if cached is None else cached,
        output_tokens=outputs.astype(np.int64),
    )


def needed() -> Floats:
    """(intervals, 1, pools)."""
    fleets = (small_scenario(*BOTH).fleet, small_scenario(*APART).fleet)
    each = [nodes_per_request_s(Deployment(fleet), INPUT.astype(float), OUTPUT.astype(float)) for fleet in fleets]
    return np.stack(each, axis=1)[:, np.newaxis]


RATES = np.full((4, 1), 1 / 60)


def test_a_request_a_second_takes_nodes_by_the_region_or_by_the_role_that_is_needed_more() -> None:
    assert needed()[:, 0].tolist() == [
        pytest.approx([120.0, 1440.0]),
        pytest.approx([120.0, 720.0]),
        pytest.approx([168.0, 2880.0]),
        pytest.approx([450.0, 2700.0]),
    ]


def test_roles_that_scale_apart_take_the_nodes_of_each() -> None:
    fleet = small_scenario(*APART, "fleet.scaling=independent").fleet
    assert nodes_per_request_s(Deployment(fleet), np.array([100.0]), np.array([50.0])) == pytest.approx(
        100 / 10 + 50 / 5
    )


def test_the_floors_are_used_first_then_what_costs_least_and_what_does_not_fit_is_shared_by_capacity() -> None:
    split = split_demand(["all"], POOLS, RATES, needed(), cheapest=True)
    # of 2 nodes on the first, a half is on its floor, and an eighth on that of the second; the rest costs less there
    assert split.weights[:, 0].tolist() == [
        pytest.approx([0.875, 0.125]),
        pytest.approx([0.75, 0.25]),
        pytest.approx([0.9375, 0.0625]),
        pytest.approx([2 / 3, 1 / 3]),
    ]
    assert split.fits.tolist() == [True, True, True, False]
    assert split.nodes[:3].tolist() == [
        pytest.approx([1.75, 3.0]),
        pytest.approx([1.5, 3.0]),
        pytest.approx([2.625, 3.0]),
    ]
    assert split.usd_per_hour[:3] == pytest.approx([13.0, 12.0, 16.5])


def test_in_proportion_every_pool_is_as_full_as_the_others() -> None:
    split = split_demand(["all"], POOLS, RATES, needed(), cheapest=False)
    # the first could carry 2 times the first minute, the second half of it
    assert split.weights[0, 0] == pytest.approx([0.8, 0.2])
    assert split.nodes[0] == pytest.approx([1.6, 4.8])
    assert split.usd_per_hour[0] == pytest.approx(1.6 * 4 + 4.8 * 2)
    assert split.fits.tolist() == [True, True, True, False]


def test_a_pool_alone_carries_everything_and_the_other_is_not_there() -> None:
    split = one_pool(POOLS, RATES, needed(), 0)
    assert split.weights[:, 0].tolist() == [[1.0, 0.0]] * 4
    assert split.fits.tolist() == [True, True, True, False]
    assert split.usd_per_hour[:3] == pytest.approx([8.0, 8.0, 11.2])


def test_a_class_without_demand_is_routed_as_before_or_else_as_next() -> None:
    rates = np.array([[0.0], [1 / 60], [0.0], [0.0]])
    split = split_demand(["all"], POOLS, rates, needed(), cheapest=True)
    assert split.weights[:, 0].tolist() == [pytest.approx([0.75, 0.25])] * 4
    never = split_demand(["all"], POOLS, np.zeros((4, 1)), needed(), cheapest=True)
    assert never.weights[0, 0] == pytest.approx([0.25, 0.75])


def test_a_class_that_no_pool_can_serve_is_an_error() -> None:
    with pytest.raises(UsageError, match="no pool can serve long"):
        split_demand(["long"], POOLS, RATES, np.full((4, 1, 2), np.inf), cheapest=True)


def test_requests_and_tokens_of_pools_are_whole_and_add_up() -> None:
    whole = demand(np.array([10, 0]), np.array([5, 3]), np.array([3, 0]))
    first, second = parts_of(whole, [whole], np.array([[[0.5, 0.5]], [[0.2, 0.8]]]))
    assert first.requests.tolist() == [1, 0]
    assert second.requests.tolist() == [0, 1]
    # 7 missed and 3 cached tokens in halves, the odd ones to the first
    assert first.input_tokens.tolist() == [4 + 2, 0]
    assert second.input_tokens.tolist() == [3 + 1, 0]
    assert first.cached_input_tokens.tolist() == [2, 0]
    assert first.output_tokens.tolist() == [3, 1]
    assert second.output_tokens.tolist() == [2, 2]


def test_each_class_goes_by_its_own_weights() -> None:
    chat, batch = demand(np.array([100]), np.array([10])), demand(np.array([1000]), np.array([50]))
    whole = demand(np.array([1100]), np.array([60]))
    first, second = parts_of(whole, [chat, batch], np.array([[[1.0, 0.0], [0.1, 0.9]]]))
    assert (first.input_tokens[0], second.input_tokens[0]) == (200, 900)
    assert (first.output_tokens[0], second.output_tokens[0]) == (15, 45)

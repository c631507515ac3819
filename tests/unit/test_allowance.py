"""What plans allow for beyond capacities: another share of hits, nodes that are down; the price of a GPU-hour."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.read import scenario_gpu_rate
from planner.core.demand import Demand, Grid
from planner.core.economics.prices import node_hour_micros
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.load import HitChange, hit_ratio, with_hits
from planner.errors import UsageError
from planner.planning.allowance import Allowance, allowance_notes, down_notes, input_factor, up_factors, with_set_hits
from planner.planning.check import check
from planner.settings.scenario import Scenario
from tests.conftest import small_scenario
from tests.helpers.aggregated import aggregated_scenario


def demand_of(rows: list[tuple[int, int, int]]) -> Demand:
    """Input, cached input and output tokens of every minute."""
    inputs, cached, outputs = np.array(rows, np.int64).T
    grid = Grid(0, 60, len(rows))
    return Demand(
        grid=grid, requests=np.ones_like(inputs), input_tokens=inputs, cached_input_tokens=cached, output_tokens=outputs
    )


def planned(scenario: Scenario, demand: Demand) -> Scenario:
    """The scenario with the capacities that plans of a demand count on."""
    return Allowance.of(scenario, hit_ratio(demand)).scenario(scenario)


def needed_nodes(scenario: Scenario, demand: Demand) -> int:
    """Nodes that carry the busiest minute of a demand, however many the fleet has."""
    deployment = Deployment(planned(scenario, demand).fleet)
    return deployment.nodes(deployment.enough(demand.input_tokens, demand.output_tokens, 60))


# nodes that are down


def test_a_unit_of_two_nodes_keeps_the_square_of_what_is_up() -> None:
    scenario = small_scenario("failures.nodes_down_ratio=0.1")
    assert up_factors(scenario.fleet, 0.1) == pytest.approx((0.9, 0.81))
    own, fleet = scenario.fleet, planned(scenario, demand_of([(1, 0, 1)])).fleet
    assert fleet.prefill.node_tokens_per_s == pytest.approx(0.9 * own.prefill.node_tokens_per_s)
    assert fleet.decode.node_tokens_per_s == pytest.approx(0.81 * own.decode.node_tokens_per_s)
    assert Deployment(fleet).capacity(Units(1, 1), 60) == pytest.approx((0.9 * 600, 0.81 * 600))


@pytest.mark.parametrize(("gpus", "share"), [(4, 0.9), (8, 0.9), (16, 0.81)])
def test_a_unit_that_does_both_serves_while_all_nodes_that_it_is_on_are_up(gpus: int, share: float) -> None:
    scenario = aggregated_scenario("failures.nodes_down_ratio=0.1", f"fleet.unit.gpus={gpus}")
    fleet = planned(scenario, demand_of([(1, 0, 1)])).fleet
    assert fleet.aggregated.tokens_per_s == tuple(
        pytest.approx(pair) for pair in ((0, 20 * share), (10 * share, 10 * share), (20 * share, 0))
    )


def test_without_allowances_nothing_is_touched() -> None:
    scenario = small_scenario()
    assert planned(scenario, demand_of([(600, 300, 1)])) is scenario
    assert allowance_notes(scenario, 0.5) == ()


def test_a_unit_that_hardly_ever_has_all_nodes_is_refused() -> None:
    scenario = small_scenario("failures.nodes_down_ratio=0.5", "fleet.decode.nodes=40", "fleet.nodes=90")
    with pytest.raises(UsageError, match=r"nodes_down_ratio is 0\.5, and all 40 nodes .* hardly ever up.*; lower it"):
        Allowance.of(scenario, 0.0)
    assert any("hardly ever up at once" in problem for problem in check(scenario))


def test_the_note_says_what_replays_take() -> None:
    (alone,) = down_notes(small_scenario("failures.nodes_down_ratio=0.1"))
    assert alone == (
        "10.00% of nodes are down on average (failures.nodes_down_ratio), and a unit serves while all of its nodes are "
        "up: plans count on 90.0% of what prefill units carry and 81.0% of what decode units do; a replay has no "
        "failures unless failures.per_node_per_day is set"
    )
    (both,) = down_notes(small_scenario("failures.nodes_down_ratio=0.1", "failures.per_node_per_day=0.02"))
    assert both.endswith("; a replay draws failures by failures.per_node_per_day=0.02 instead")


# hits


def test_only_missed_tokens_take_the_time_of_prefill() -> None:
    assert input_factor(0.5, 0.75) == 2.0
    assert input_factor(0.5, 0.0) == 0.5
    assert input_factor(0.5625, 0.5625) == 1.0
    demand = demand_of([(1000, 500, 100)])
    own = small_scenario().fleet
    fleet = planned(small_scenario("trace.cache_hit_ratio=0.75"), demand).fleet
    assert fleet.prefill.node_tokens_per_s == 2 * own.prefill.node_tokens_per_s
    assert fleet.decode == own.decode
    both = planned(aggregated_scenario("trace.cache_hit_ratio=0"), demand).fleet
    assert both.aggregated.tokens_per_s == ((0, 20), (5, 10), (10, 0))


def test_both_allowances_multiply_and_the_source_of_the_capacity_says_so() -> None:
    scenario = small_scenario("trace.cache_hit_ratio=0.75", "failures.nodes_down_ratio=0.1")
    found = planned(scenario, demand_of([(1000, 500, 100)]))
    own = scenario.fleet.prefill.node_tokens_per_s
    assert found.fleet.prefill.node_tokens_per_s == pytest.approx(2 * 0.9 * own)
    assert found.provenance["fleet.prefill.tokens_per_s_per_node"] == (
        "computed: 1.8 times what is set: flag --set fleet.prefill.tokens_per_s_per_node (failures.nodes_down_ratio, "
        "trace.cache_hit_ratio)"
    )


def test_the_capacities_of_a_stored_run_allow_for_it_already() -> None:
    scenario = small_scenario("failures.nodes_down_ratio=0.1")
    again = Allowance.of(scenario, 0.0, planned=True)
    assert again.scenario(scenario) is scenario
    assert again.limits == pytest.approx((0.9, 0.81))


def test_where_nothing_was_missed_an_observed_capacity_tells_nothing_of_other_hits() -> None:
    with pytest.raises(UsageError, match=r"holds all of the trace's input.*set fleet\.capacity=modelled"):
        planned(small_scenario("trace.cache_hit_ratio=0.5"), demand_of([(1000, 1000, 100)]))


def test_the_set_share_of_hits_is_that_of_the_demand() -> None:
    demand = demand_of([(1000, 500, 100), (3000, 500, 100)])
    assert with_set_hits(demand, small_scenario()) is demand
    # of 4000 tokens 1000 are found; then 400, two fifths of each; then 2500, a half of each minute's misses
    for ratio, cached in ((0.1, [200, 200]), (0.625, [750, 1750]), (0.25, [500, 500])):
        found = with_set_hits(demand, small_scenario(f"trace.cache_hit_ratio={ratio}"))
        assert found.cached_input_tokens.tolist() == cached
        assert found.input_tokens.tolist() == [1000, 3000]


def test_a_change_of_hits_keeps_a_part_of_hits_or_of_misses() -> None:
    assert HitChange.between(0.5, 0.25) == HitChange(hits=0.5)
    assert HitChange.between(0.5, 0.75) == HitChange(misses=0.5)
    assert HitChange.between(0.5, 0.5) == HitChange()
    assert HitChange.between(1.0, 0.25) == HitChange(hits=0.25)
    assert HitChange.between(0.0, 0.25) == HitChange(misses=0.75)
    assert with_hits(demand_of([(0, 0, 5)]), 0.0, 0.5).cached_input_tokens.tolist() == [0]


rows = st.tuples(st.integers(1, 10**6), st.floats(0, 0.95), st.integers(0, 10**6)).map(
    lambda row: (row[0], int(row[0] * row[1]), row[2])
)


@given(minutes=st.lists(rows, min_size=1, max_size=8), both=st.booleans(), down=st.sampled_from([0.0, 0.1]))
def test_fewer_hits_and_more_nodes_down_never_need_fewer_nodes(
    minutes: list[tuple[int, int, int]], both: bool, down: float
) -> None:
    make, demand = aggregated_scenario if both else small_scenario, demand_of(minutes)
    none, half = (make(f"trace.cache_hit_ratio={hits}", f"failures.nodes_down_ratio={down}") for hits in (0.0, 0.5))
    assert needed_nodes(none, demand) >= needed_nodes(half, demand)
    up = make("trace.cache_hit_ratio=0.5")
    assert needed_nodes(half, demand) >= needed_nodes(up, demand)


# the price of a GPU-hour


@given(micros=st.integers(0, 10**9), times=st.integers(1, 100), gpus=st.integers(1, 16))
def test_the_price_of_a_node_hour_is_linear_in_that_of_a_gpu_hour(micros: int, times: int, gpus: int) -> None:
    one, more = (
        scenario_gpu_rate(small_scenario(f"economics.gpu_usd_per_hour={amount / 1e6:.6f}").economics).usd_per_gpu_hour
        for amount in (micros, times * micros)
    )
    assert node_hour_micros(one, gpus) == gpus * micros
    assert node_hour_micros(more, gpus) == times * node_hour_micros(one, gpus)


def test_the_scenarios_own_price_takes_the_place_of_the_sheets_rate() -> None:
    assert scenario_gpu_rate(small_scenario().economics).usd_per_gpu_hour == 2.0
    own = scenario_gpu_rate(small_scenario("economics.gpu_usd_per_hour=3.25").economics)
    assert (own.usd_per_gpu_hour, own.kind, own.source) == (3.25, "set", "economics.gpu_usd_per_hour")

"""oracle: the fewest units that carry a known demand when start-up and drain are counted."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from planner.core.demand import Demand, Grid
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy import KnownDemand, PolicyInputs, Seen, make_policy
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.settings.scenario import Scenario
from tests.conftest import small_scenario
from tests.helpers.aggregated import aggregated_scenario
from tests.helpers.policies import FILELESS, policy_for, targets_of


def demand_of(tokens: list[tuple[int, int]], interval_s: int = 60) -> Demand:
    columns = [np.array(column, np.int64) for column in zip(*tokens, strict=True)]
    none = np.zeros(len(tokens), np.int64)
    return Demand(
        grid=Grid(0, interval_s, len(tokens)),
        requests=none,
        input_tokens=columns[0],
        cached_input_tokens=none,
        output_tokens=columns[1],
    )


def replayed(scenario: Scenario, targets: list[Units], tokens: list[tuple[int, int]], ahead: bool) -> IntervalPlan:
    deployment = Deployment(scenario.fleet)
    floor = deployment.floor(scenario.policy.floor_nodes)
    return replay_intervals(targets, demand_of(tokens), deployment, scenario.training, ahead=ahead, floor=floor)


def shortfall(plan: IntervalPlan) -> int:
    return int(
        plan.steady_shortfall_input_tokens.sum()
        + plan.steady_shortfall_output_tokens.sum()
        + plan.start_up_shortfall_input_tokens.sum()
        + plan.start_up_shortfall_output_tokens.sum()
    )


def oracle(scenario: Scenario, tokens: list[tuple[int, int]]) -> IntervalPlan:
    deployment = Deployment(scenario.fleet)
    known = KnownDemand([Seen(*pair) for pair in tokens], 60)
    policy = make_policy(scenario.policy, deployment, PolicyInputs(known=known))
    return replayed(scenario, list(policy.targets), tokens, policy.ahead)  # type: ignore[attr-defined]


def oracle_of(*overrides: str) -> Scenario:
    return small_scenario("policy.name=oracle", *overrides)


def test_units_of_each_role_follow_their_own_tokens() -> None:
    # a prefill unit carries 600 input tokens a minute, a decode unit 600 output tokens
    scenario = oracle_of("fleet.start_up_s=0", "fleet.drain_deadline_s=0")
    plan = oracle(scenario, [(600, 600), (1201, 600), (600, 1800), (0, 0)])
    assert plan.prefill_units.tolist() == [1, 3, 1, 1]
    assert plan.decode_units.tolist() == [1, 1, 3, 1]


def test_units_start_early_enough_to_serve() -> None:
    # 1200 tokens in the second minute take two units for all of it: one loads before, or a third makes up for loading
    plan = oracle(oracle_of(), [(600, 0), (1200, 0), (600, 0)])
    assert plan.prefill_units[:2].tolist() in ([2, 2], [1, 3])
    assert not shortfall(plan)
    # with no third prefill unit in the fleet one has to load before
    assert oracle(oracle_of("fleet.nodes=4"), [(600, 0), (1200, 0), (600, 0)]).prefill_units[:2].tolist() == [2, 2]
    # 1000 tokens are carried by a unit that serves the last 50 s of the minute
    plan = oracle(oracle_of(), [(600, 0), (1000, 0), (600, 0)])
    assert plan.prefill_units.tolist() == [1, 2, 1]


def test_it_drains_before_boundaries_or_after_them_as_is_cheaper() -> None:
    # a unit that drains before the boundary does not serve the last 5 s of the minute: then another is needed
    full, slack = [(1200, 0), (600, 0), (600, 0)], [(1100, 0), (600, 0), (600, 0)]
    assert oracle(oracle_of(), full).draining_node_s.tolist() == [0, 5, 0]
    assert oracle(oracle_of(), slack).draining_node_s.tolist() == [5, 0, 0]


def test_units_are_kept_where_starting_again_would_take_longer() -> None:
    slow = oracle_of("fleet.start_up_s=120")
    assert oracle(slow, [(1200, 0), (600, 0), (1200, 0)]).prefill_units.tolist() == [2, 2, 2]


def test_what_the_fleet_cannot_carry_is_left_out() -> None:
    plan = oracle(oracle_of(), [(9000, 9000), (0, 0)])
    assert (plan.prefill_units[0], plan.decode_units[0]) == (4, 4)


def test_a_day_without_demand_holds_the_floor() -> None:
    plan = oracle(oracle_of("policy.floor_nodes=6"), [(0, 0)] * 3)
    assert plan.inference_nodes.tolist() == [6] * 3


SLEEP = ("fleet.keeps=sleep", "fleet.sleep_start_up_s=2")


def test_units_that_keep_their_weights_are_counted_on_to_start_warm() -> None:
    # a second unit that comes back serves 58 s of the last minute, but 50 s from cold: of 1,170 tokens 570 are its own
    tokens = [(1200, 0), (600, 0), (600, 0), (1170, 0)]
    cold, warm = oracle(oracle_of(), tokens), oracle(oracle_of(*SLEEP), tokens)
    assert warm.prefill_units.tolist() == [2, 1, 1, 2]
    assert not shortfall(warm)
    assert warm.inference_node_s.sum() < cold.inference_node_s.sum()


def test_units_that_were_never_there_start_cold() -> None:
    tokens = [(600, 0), (600, 0), (1170, 0)]
    warm, cold = oracle(oracle_of(*SLEEP), tokens), oracle(oracle_of(), tokens)
    assert warm.prefill_units.tolist() == cold.prefill_units.tolist()
    assert not shortfall(warm)


def test_resident_weights_that_may_give_way_are_not_counted_on() -> None:
    # seven prefill units, then five decode units beside one: their weights do not find room on 12 nodes together
    resident = ("fleet.keeps=resident", "fleet.resident_start_up_s=1", "fleet.scaling=independent")
    tokens = [(3700, 600), (600, 600), (600, 2300), (600, 600), (4200, 600)]
    assert not shortfall(oracle(oracle_of(*resident), tokens))


@settings(max_examples=40, phases=(Phase.generate,))
@given(
    st.lists(st.tuples(st.integers(0, 2400), st.integers(0, 2400)), min_size=1, max_size=8),
    st.sampled_from([(0, 0), (10, 5), (30, 40), (60, 60), (90, 0), (70, 130), (130, 30), (10, 150)]),
    st.sampled_from([0, 3, 20, 65]),
    st.sampled_from(["sleep", "resident"]),
)
def test_with_kept_weights_the_demand_is_carried_with_no_more_nodes(
    tokens: list[tuple[int, int]], times: tuple[int, int], warm_s: int, keeps: str
) -> None:
    start_up_s, drain_s = times
    sets = (f"fleet.start_up_s={start_up_s}", f"fleet.drain_deadline_s={drain_s}")
    warm = oracle(oracle_of(*sets, f"fleet.keeps={keeps}", f"fleet.{keeps}_start_up_s={warm_s}"), tokens)
    cold = oracle(oracle_of(*sets), tokens)
    assert shortfall(warm) <= shortfall(cold)
    if not shortfall(cold):
        assert warm.inference_node_s.sum() <= cold.inference_node_s.sum()


def everything(scenario: Scenario, tokens: list[tuple[int, int]], most: int) -> Iterator[int]:
    """Node-seconds of all ways to hold prefill units that carry the demand."""
    for held in product(range(1, most + 1), repeat=len(tokens)):
        for ahead in (True, False):
            plan = replayed(scenario, [Units(units, 1) for units in held], tokens, ahead)
            if not shortfall(plan):
                yield int(plan.inference_node_s.sum())


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 1800), min_size=1, max_size=4),
    st.sampled_from([(0, 0), (10, 5), (30, 40), (60, 60), (50, 20), (90, 0), (70, 130), (130, 30), (10, 150)]),
)
def test_no_way_to_carry_the_demand_holds_fewer_node_seconds(input_tokens: list[int], times: tuple[int, int]) -> None:
    start_up_s, drain_s = times
    scenario = oracle_of(f"fleet.start_up_s={start_up_s}", f"fleet.drain_deadline_s={drain_s}", "fleet.nodes=6")
    tokens = [(count, 0) for count in input_tokens]
    plan = oracle(scenario, tokens)
    assert not shortfall(plan)
    assert plan.inference_node_s.sum() == min(everything(scenario, tokens, 4))


@settings(max_examples=15)
@pytest.mark.parametrize("name", FILELESS)
@given(st.lists(st.tuples(st.integers(0, 2400), st.integers(0, 2400)), min_size=1, max_size=12))
def test_no_policy_without_shortfall_holds_fewer_node_seconds(name: str, tokens: list[tuple[int, int]]) -> None:
    bounds = "policy.bounds=[{floor_nodes=9}]"
    scenario = small_scenario(f"policy.name={name}", bounds)
    targets = targets_of([(float(i), float(o)) for i, o in tokens], f"policy.name={name}", bounds)
    plan = replayed(scenario, targets, tokens, policy_for(scenario, [Seen(*pair) for pair in tokens]).ahead)
    least = oracle(oracle_of(), tokens)
    if not shortfall(plan):
        assert not shortfall(least)
        assert least.inference_node_s.sum() <= plan.inference_node_s.sum()


def both_of(*overrides: str) -> Scenario:
    return aggregated_scenario("policy.name=oracle", *overrides)


def test_units_that_share_nodes_are_counted_in_whole_nodes() -> None:
    # a unit carries 1,200 tokens a minute of any mix, and two share a node: all places of what is held are used
    scenario = both_of("fleet.start_up_s=0", "fleet.drain_deadline_s=0")
    plan = oracle(scenario, [(600, 600), (2000, 500), (4800, 0), (0, 0)])
    assert plan.aggregated_units.tolist() == [2, 4, 4, 2]
    assert plan.inference_nodes.tolist() == [1, 2, 2, 1]
    assert not shortfall(plan)


def test_nodes_start_early_enough_to_serve() -> None:
    # 4,800 tokens take two nodes for the whole minute: one loads in the minute before, or a third makes up for loading
    plan = oracle(both_of(), [(2400, 0), (4800, 0), (2400, 0)])
    assert plan.aggregated_units[:2].tolist() in ([4, 4], [2, 6])
    assert not shortfall(plan)
    # 4,400 are carried where the second node's two units serve the last 50 s
    assert oracle(both_of(), [(2400, 0), (4400, 0), (2000, 0)]).aggregated_units.tolist() == [2, 4, 2]


def test_what_no_node_is_left_to_carry_falls_short() -> None:
    plan = oracle(both_of(), [(9000, 9000), (0, 0)])
    assert (plan.aggregated_units[0], plan.inference_nodes[0]) == (8, 4)
    assert shortfall(plan) == 18_000 - 9_600


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 2500), st.integers(0, 1500)), min_size=1, max_size=3),
    st.sampled_from([(0, 0), (10, 5), (30, 40), (60, 60), (50, 20), (90, 0), (70, 130), (130, 30), (10, 150)]),
)
def test_no_schedule_of_single_units_without_shortfall_holds_fewer_node_seconds(
    tokens: list[tuple[int, int]], times: tuple[int, int]
) -> None:
    start_up_s, drain_s = times
    region = "fleet.unit.tokens_per_s=[[5,20],[12,16],[25,4]]"
    given = (f"fleet.start_up_s={start_up_s}", f"fleet.drain_deadline_s={drain_s}", "fleet.nodes=3", region)
    scenario = both_of(*given)
    plan, least = oracle(scenario, tokens), np.inf
    for held in product(range(1, 7), repeat=len(tokens)):
        for ahead in (True, False):
            other = replayed(scenario, [Units(aggregated=units) for units in held], tokens, ahead)
            if not shortfall(other):
                least = min(least, int(other.inference_node_s.sum()))
    if np.isfinite(least):
        assert not shortfall(plan)
        assert plan.inference_node_s.sum() == least


def test_nodes_of_units_that_share_them_are_counted_on_to_start_warm() -> None:
    tokens = [(4800, 0), (2400, 0), (2400, 0), (4700, 0)]
    cold, warm = oracle(both_of(), tokens), oracle(both_of(*SLEEP), tokens)
    assert warm.aggregated_units.tolist() == [4, 2, 2, 4]
    assert not shortfall(warm)
    assert warm.inference_node_s.sum() < cold.inference_node_s.sum()

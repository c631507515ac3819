"""Interval replay: every node-second is counted once, and occupancy follows the target."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.demand import Demand
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.replay.intervals.lending import lend
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.errors import RunError
from planner.settings.training import TrainingSettings
from tests.conftest import small_scenario
from tests.helpers.intervals import demand_of, node_s


def replayed(
    targets: list[tuple[int, int]], *overrides: str, demand: Demand | None = None, ahead: bool = True
) -> IntervalPlan:
    scenario = small_scenario(*overrides)
    return replay_intervals(
        [Units(*target) for target in targets],
        demand or demand_of([(0, 0)] * len(targets)),
        Deployment(scenario.fleet),
        scenario.training,
        ahead=ahead,
        floor=Units(0, 0),
    )


def test_four_intervals_by_hand() -> None:
    # prefill units of 1 node, decode units of 2; 10 s to start, 5 s to drain, 20 s to restore; a fleet of 12
    plan = replayed([(1, 1), (2, 2), (2, 2), (1, 1)])
    assert plan.inference_nodes.tolist() == [3, 6, 6, 3]
    assert node_s(plan) == {
        "serving": [180, 330, 345, 180],  # the second: 3*60 + 3*50; the third: 3*60 + 3*55
        "starting": [0, 30, 0, 0],
        "draining": [0, 0, 15, 0],  # gone at the boundary, so it drains before
        "training": [540, 360, 360, 480],  # 9 nodes, then 6, then 6 and 3 that come back
        "restoring": [0, 0, 0, 60],  # 3 nodes for 20 s
        "idle": [0, 0, 0, 0],
    }
    assert plan.training_nodes.tolist() == [9, 6, 6, 9]
    assert plan.prefill_capacity_tokens.tolist() == [600, 1200, 1200, 600]
    assert plan.prefill_serving_tokens.tolist() == [600, 1100, 1150, 600]
    assert plan.decode_serving_tokens.tolist() == [600, 1100, 1150, 600]


def test_shortfall_is_steady_beyond_the_target_and_start_up_beyond_what_serves() -> None:
    plan = replayed([(1, 1), (2, 2)], demand=demand_of([(700, 500), (1300, 1150)]))
    assert plan.steady_shortfall_input_tokens.tolist() == [100, 100]
    assert plan.steady_shortfall_output_tokens.tolist() == [0, 0]
    assert plan.start_up_shortfall_input_tokens.tolist() == [0, 100]
    assert plan.start_up_shortfall_output_tokens.tolist() == [0, 50]
    assert plan.shortfall_input_tokens.tolist() == [100, 200]
    assert plan.shortfall_output_tokens.tolist() == [0, 50]
    assert plan.shortfall_tokens.tolist() == [100, 250]


def test_a_policy_that_knew_too_late_drains_from_the_boundary_on_and_pays_for_it() -> None:
    early, late = (replayed([(2, 2), (1, 1)], ahead=ahead) for ahead in (True, False))
    assert node_s(early)["draining"] == [15, 0]
    assert node_s(late)["draining"] == [0, 15]
    assert late.inference_nodes.tolist() == [6, 6]
    assert late.inference_node_s.tolist() == [360, 195]
    assert early.inference_node_s.tolist() == [360, 180]


def test_a_drain_longer_than_an_interval_reaches_over_several() -> None:
    plan = replayed([(2, 2), (1, 1), (1, 1), (1, 1)], "fleet.drain_deadline_s=130", ahead=False)
    assert node_s(plan)["draining"] == [0, 180, 180, 30]
    early = replayed([(2, 2), (2, 2), (2, 2), (1, 1)], "fleet.drain_deadline_s=130")
    assert node_s(early)["draining"] == [30, 180, 180, 0]


def test_a_unit_that_leaves_while_it_loads_never_serves_and_need_not_drain() -> None:
    plan = replayed([(1, 1), (2, 2), (1, 1)], "fleet.start_up_s=90")
    assert node_s(plan)["starting"] == [0, 180, 0]
    assert node_s(plan)["serving"] == [180, 180, 180]
    assert node_s(plan)["draining"] == [0, 0, 0]


def test_the_newest_units_leave_first() -> None:
    plan = replayed([(1, 1), (2, 2), (3, 3), (2, 2)])
    left = [life for life in plan.lives if life.left_s == 180]
    assert {life.joined_s for life in left} == {120}


def test_units_that_join_wait_each_for_the_nodes_of_those_that_still_drain() -> None:
    # ten prefill nodes and one decode unit leave no node free; eight come free when the drain ends
    plan = replayed([(10, 1), (2, 3), (2, 3)], "fleet.drain_deadline_s=80", ahead=False)
    joined = [(life.joined_s, life.units) for life in plan.lives if life.role == "decode" and life.joined_s > 0]
    assert joined == [(140, 2)]
    assert max(plan.inference_nodes) <= 12
    # with nine prefill nodes one is free at once, half of what a decode unit needs; five at the first drain's end
    plan = replayed([(9, 1), (5, 1), (1, 1), (1, 5), (1, 5)], "fleet.drain_deadline_s=130", ahead=False)
    joined = [(life.joined_s, life.units) for life in plan.lives if life.role == "decode" and life.joined_s > 0]
    # at 180 s the four of the second minute still drain until 190 s, those of the third until 250 s
    assert joined == [(190, 2), (250, 2)]


def test_targets_under_the_floor_are_raised_to_it_and_counted() -> None:
    scenario = small_scenario()
    plan = replay_intervals(
        [Units(1, 1), Units(3, 1), Units(2, 4)],
        demand_of([(0, 0)] * 3),
        Deployment(scenario.fleet),
        scenario.training,
        ahead=True,
        floor=Units(2, 2),
    )
    assert plan.prefill_units.tolist() == [2, 3, 2]
    assert plan.decode_units.tolist() == [2, 2, 4]
    assert plan.floored == 2


def test_a_target_beyond_the_fleet_names_interval_nodes_and_cure() -> None:
    with pytest.raises(RunError, match=r"interval 2 asks for 15 nodes .* fleet has 12; .* raise fleet\.nodes"):
        replayed([(1, 1), (5, 5)])


def test_without_lending_free_nodes_are_idle() -> None:
    assert node_s(replayed([(1, 1), (2, 2)], "training.lend=false"))["idle"] == [540, 360]


def test_training_takes_no_more_nodes_than_it_can_use() -> None:
    plan = replayed([(4, 4), (1, 1)], "training.max_nodes=5")
    assert plan.training_nodes.tolist() == [0, 5]
    assert node_s(plan)["idle"] == [0, 240]


def test_nodes_that_are_free_for_too_short_a_time_stay_idle() -> None:
    plan = replayed([(2, 2), (1, 1), (2, 2), (1, 1), (1, 1)], "training.min_window_s=150")
    assert node_s(plan)["idle"] == [0, 180, 0, 0, 0]
    assert plan.training_nodes.tolist() == [6, 6, 6, 9, 9], "the last window goes on after the plan"


@pytest.mark.parametrize("free", [[(0, 60, 3), (60, 600, 0)], [(0, 540, 0), (540, 600, 3)]])
def test_windows_that_the_plan_cuts_do_not_count_as_short(free: list[tuple[int, int, int]]) -> None:
    settings = TrainingSettings(lend=True, restore_s=10, min_window_s=100)
    assert [window.nodes for window in lend(free, settings)] == [3]


def test_long_windows_stay_long() -> None:
    windows = replayed([(4, 4), (2, 2), (1, 1), (2, 2), (4, 4)]).windows
    assert [(w.start_s, w.end_s, w.nodes) for w in windows] == [(60, 240, 6), (120, 180, 3)]
    assert [w.restoring_node_s for w in windows] == [120, 60]


def test_nothing_free_lends_nothing() -> None:
    assert lend([(0, 60, 0)], TrainingSettings(lend=True, restore_s=0, min_window_s=0)) == []


targets = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=12)


def second_by_second(targets: list[tuple[int, int]], start_s: int, drain_s: int) -> dict[str, list[int]]:
    """The same plan, one second and one unit at a time: slow and obvious. For targets known ahead."""
    end_s = 60 * len(targets)
    state = {name: np.zeros(end_s, np.int64) for name in ("serving", "starting", "draining")}
    for role, size in ((0, 1), (1, 2)):
        stack: list[int] = [-start_s] * targets[0][role]
        lives: list[tuple[int, int]] = []
        for index in range(1, len(targets)):
            change = targets[index][role] - targets[index - 1][role]
            for _ in range(change):
                stack.append(60 * index)
            for _ in range(-change):
                lives.append((stack.pop(), 60 * index))
        lives += [(joined, end_s + drain_s) for joined in stack]
        for joined, left in lives:
            for second in range(max(joined, 0), min(left, end_s)):
                if second < joined + start_s:
                    state["starting"][second] += size
                elif second >= left - drain_s:
                    state["draining"][second] += size
                else:
                    state["serving"][second] += size
    return {name: seconds.reshape(-1, 60).sum(axis=1).tolist() for name, seconds in state.items()}


@given(targets, st.integers(0, 150), st.integers(0, 150))
def test_states_are_those_of_a_second_by_second_replay(
    chosen: list[tuple[int, int]], start_s: int, drain_s: int
) -> None:
    plan = replayed(chosen, f"fleet.start_up_s={start_s}", f"fleet.drain_deadline_s={drain_s}")
    expected = second_by_second(chosen, start_s, drain_s)
    assert {state: node_s(plan)[state] for state in expected} == expected


@given(targets, st.booleans(), st.integers(0, 150), st.integers(0, 150), st.integers(0, 100), st.integers(0, 12))
def test_node_seconds_of_the_six_states_always_sum_to_the_fleet(
    chosen: list[tuple[int, int]], ahead: bool, start_s: int, drain_s: int, restore_s: int, most: int
) -> None:
    plan = replayed(
        chosen,
        f"fleet.start_up_s={start_s}",
        f"fleet.drain_deadline_s={drain_s}",
        f"training.restore_s={restore_s}",
        f"training.max_nodes={most}",
        ahead=ahead,
    )
    states = node_s(plan)
    assert all(min(values) >= 0 for values in states.values())
    assert [sum(values) for values in zip(*states.values(), strict=True)] == [12 * 60] * len(chosen)
    held = plan.prefill_units + 2 * plan.decode_units
    if ahead:
        assert plan.inference_nodes.tolist() == held.tolist()
        assert plan.inference_node_s.tolist() == (held * 60).tolist()
    assert (plan.inference_nodes + plan.training_nodes).max() <= 12


@given(targets, st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), min_size=12, max_size=12))
def test_what_is_not_served_is_recorded_as_shortfall(
    chosen: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    demand = demand_of(asked[: len(chosen)])
    plan = replayed(chosen, demand=demand)
    missing = plan.steady_shortfall_input_tokens + plan.start_up_shortfall_input_tokens
    assert (missing == np.maximum(demand.input_tokens - plan.prefill_serving_tokens, 0)).all()
    assert (plan.steady_shortfall_output_tokens <= np.maximum(demand.output_tokens, 0)).all()

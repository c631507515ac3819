"""Services that sleep: intervals without units by hand, what wakes them, and units that start cold or warm.

Both small fleets start a unit in 10 s and drain one in 5 s, in intervals of a minute. Of two roles, a prefill unit has
a node and a decode unit two of 12 nodes, and each carries 600 tokens a minute.
"""

import numpy as np
import pytest

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.sharing import Want, shared
from planner.core.fleet.units import Units
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.core.replay.requests.asleep import SleepCount, times_without
from planner.core.replay.requests.model import Lives, Requests, Span
from planner.errors import ScenarioError, UsageError
from tests.conftest import small_scenario
from tests.helpers.aggregated import UNITS
from tests.helpers.intervals import demand_of, node_s
from tests.helpers.policies import decided, targets_of

NONE = ("fleet.base.prefill=0", "fleet.base.decode=0", "policy.floor_nodes=0")
NO_UNITS = (*UNITS, "fleet.base.aggregated=0", "training.lend=true")
SLEEP = ("fleet.keeps=sleep", "fleet.sleep_start_up_s=2")
RESIDENT = ("fleet.keeps=resident", "fleet.resident_start_up_s=1")
ON_OFF = [(600, 600), (0, 0), (0, 0), (600, 600), (0, 0), (0, 0)]


def replayed(
    targets: list[Units], *overrides: str, demand: list[tuple[int, int]] | None = None, ahead: bool = True
) -> IntervalPlan:
    scenario = small_scenario(*overrides)
    return replay_intervals(
        targets,
        demand_of(demand or [(0, 0)] * len(targets)),
        Deployment(scenario.fleet),
        scenario.training,
        ahead=ahead,
        floor=Units(),
    )


def two(*targets: tuple[int, int]) -> list[Units]:
    return [Units(*target) for target in targets]


def both(*counts: int) -> list[Units]:
    """Units that do both."""
    return [Units(aggregated=count) for count in counts]


# waking


def test_six_intervals_by_hand() -> None:
    # the third and the last sleep; the second and the fifth are awake as what came before is being done
    plan = replayed(two((1, 1), *[(0, 0)] * 5), *NONE, demand=ON_OFF)
    assert plan.prefill_units.tolist() == plan.decode_units.tolist() == [1, 1, 0, 1, 1, 0]
    assert plan.inference_nodes.tolist() == [3, 3, 0, 3, 3, 0]
    assert plan.sleep_states == ["awake", "kept awake", "asleep", "woken", "kept awake", "asleep"]
    assert plan.floored == 0
    assert plan.started_units(warm=False).tolist() == [0, 0, 0, 2, 0, 0]
    assert not plan.started_units(warm=True).any()
    assert node_s(plan) == {
        "serving": [180, 165, 0, 150, 165, 0],
        "starting": [0, 0, 0, 30, 0, 0],
        "draining": [0, 15, 0, 0, 15, 0],
        "training": [540, 540, 660, 540, 540, 660],  # nine nodes, and three more for 60 s, 20 of which restore
        "restoring": [0, 0, 60, 0, 0, 60],
        "idle": [0, 0, 0, 0, 0, 0],
    }
    # of the minute in which the service wakes, 50 s serve
    assert plan.start_up_shortfall_input_tokens.tolist() == [0, 0, 0, 100, 0, 0]
    assert plan.start_up_shortfall_output_tokens.tolist() == [0, 0, 0, 100, 0, 0]


def test_units_that_do_both_wake_too() -> None:
    # a unit carries 10 output tokens a second, and there are two on a node
    plan = replayed(both(2, 0, 0, 0, 0, 0), *NO_UNITS, demand=[(0, tokens) for _, tokens in ON_OFF])
    assert plan.aggregated_units.tolist() == [2, 1, 0, 1, 1, 0]
    assert plan.inference_nodes.tolist() == [1, 1, 0, 1, 1, 0]
    assert plan.sleep_states == ["awake", "kept awake", "asleep", "woken", "kept awake", "asleep"]
    assert plan.starting_node_s.tolist() == [0, 0, 0, 10, 0, 0]
    assert plan.start_up_shortfall_output_tokens.tolist() == [0, 0, 0, 100, 0, 0]


def test_each_role_wakes_by_its_own_tokens() -> None:
    plan = replayed(two(*[(0, 0)] * 3), *NONE, "fleet.scaling=independent", demand=[(600, 0), (0, 0), (0, 600)])
    assert plan.prefill_units.tolist() == [1, 1, 0]
    assert plan.decode_units.tolist() == [0, 0, 1]


def test_a_service_wakes_to_a_scaling_step() -> None:
    plan = replayed(two((0, 0)), *NONE, "fleet.step.prefill=3", "fleet.step.decode=2", demand=[(1, 1)])
    assert plan.units == [Units(3, 2)]


def test_a_role_that_wakes_finds_room_where_the_other_holds_every_node() -> None:
    plan = replayed(two((12, 0)), *NONE, "fleet.scaling=independent", demand=[(600, 600)])
    assert plan.units == [Units(10, 1)]


def test_woken_units_stay_until_they_have_served_as_long_as_an_interval() -> None:
    # they serve from 90 s after the beginning of the second interval on
    plan = replayed(two(*[(0, 0)] * 6), *NONE, "fleet.start_up_s=90", demand=[(0, 0), (600, 600), *[(0, 0)] * 4])
    assert plan.decode_units.tolist() == [0, 1, 1, 1, 0, 0]
    assert [(life.joined_s, life.ready_s, life.left_s) for life in plan.lives] == [(60, 150, 240)] * 2


def test_a_floor_keeps_a_service_awake() -> None:
    scenario = small_scenario(*NONE, "policy.floor_nodes=1")
    assert Deployment(scenario.fleet).floor(1) == Units(1, 1)
    assert Deployment(scenario.fleet).floor(0) == Units()


# cold and warm


def test_units_that_were_there_before_start_warm() -> None:
    # of three, one is called back, and two never were there
    plan = replayed(two((2, 1), (1, 1), (4, 1), (1, 1), (4, 1)), *SLEEP)
    assert plan.starting_node_s.tolist() == [0, 0, 2 + 2 * 10, 0, 3 * 2]
    assert sorted((life.joined_s, life.units, life.warm) for life in plan.lives if life.joined_s) == [
        (120, 1, True),
        (120, 2, False),
        (240, 3, True),
    ]


def test_sleep_shortens_the_wait_of_a_service_that_wakes() -> None:
    plan = replayed(two((1, 1), *[(0, 0)] * 5), *NONE, *SLEEP, demand=ON_OFF)
    assert plan.starting_node_s.tolist() == [0, 0, 0, 6, 0, 0]
    assert plan.start_up_shortfall_input_tokens.tolist() == [0, 0, 0, 20, 0, 0]


def test_a_unit_that_never_got_its_weights_keeps_none() -> None:
    # it loads for 90 s and leaves after 60
    plan = replayed(two((1, 1), (2, 1), (1, 1), (2, 1)), *SLEEP, "fleet.start_up_s=90")
    assert [life.warm for life in plan.lives if life.joined_s] == [False, False]


def test_a_unit_that_still_drains_is_not_called_back() -> None:
    # it drains until 140 s; at 120 s another joins cold, and at 240 s it comes back
    late = replayed(
        two((2, 1), (1, 1), (2, 1), (2, 1), (3, 1)), *SLEEP, "fleet.drain_deadline_s=80", "fleet.nodes=6", ahead=False
    )
    assert [(life.joined_s, life.warm) for life in late.lives if life.joined_s] == [(120, False), (240, True)]


def test_a_warm_start_is_never_longer_than_a_cold_one() -> None:
    assert small_scenario("fleet.keeps=sleep", "fleet.sleep_start_up_s=40").fleet.warm_start_up_s == 10
    assert small_scenario(*SLEEP).fleet.warm_start_up_s == 2
    assert small_scenario().fleet.warm_start_up_s == 10


def test_places_that_had_units_start_them_warm() -> None:
    # two units share a node: places 0 to 2, then 3 and 4, of which 3 is on a node that serves
    plan = replayed(both(3, 0, 3, 5), *NO_UNITS, *SLEEP)
    assert plan.starting_node_s.tolist() == [0, 0, 2 * 2, 10]
    assert sorted((life.place, life.units, life.warm) for life in plan.lives if life.joined_s) == [
        (0, 3, True),
        (3, 2, False),
    ]


# resident weights


def test_nodes_with_resident_weights_are_not_lent() -> None:
    targets = two((2, 2), (1, 1), (1, 1), (2, 2))
    plan = replayed(targets, *RESIDENT)
    assert plan.training_node_s.tolist() == [360, 360, 360, 360]
    assert plan.idle_node_s.tolist() == [0, 180, 180, 0]
    assert plan.starting_node_s.tolist() == [0, 0, 0, 3]
    assert plan.inference_nodes.tolist() == [6, 3, 3, 6]
    asleep = replayed(targets, *SLEEP)
    assert (asleep.training_node_s + asleep.restoring_node_s).tolist() == [360, 540, 540, 360]


def test_resident_weights_give_way_where_the_other_role_needs_their_nodes() -> None:
    # the third interval takes four of the six nodes that prefill left, so that two units come back warm
    plan = replayed(two((8, 2), (2, 2), (2, 4), (8, 2)), *RESIDENT, "fleet.scaling=independent")
    assert plan.idle_node_s.tolist() == [0, 360, 120, 0]
    assert not (plan.training_node_s + plan.restoring_node_s).any()
    assert plan.starting_node_s.tolist() == [0, 0, 2 * 2 * 10, 2 * 1 + 4 * 10]


def test_a_node_is_not_lent_while_any_of_its_places_keeps_weights() -> None:
    # places 0 to 2 on two of four nodes: the second node keeps what is in place 2
    plan = replayed(both(3, 1, 0, 2), *NO_UNITS, *RESIDENT, "training.restore_s=0")
    assert plan.training_node_s.tolist() == [120] * 4
    assert plan.idle_node_s.tolist() == [0, 60, 120, 60]
    assert plan.starting_node_s.tolist() == [0, 0, 0, 1]


# policies, and what is refused


@pytest.mark.parametrize("name", ["predictive", "slo", "night-training", "oracle"])
def test_policies_hold_no_units_where_they_see_no_demand(name: str) -> None:
    at_once = ("fleet.start_up_s=0", "fleet.drain_deadline_s=0", f"policy.name={name}")
    steps = 2 if name == "slo" else 1  # met at half use
    assert decided([(600, 600), (0, 0), (600, 600)], *NONE, *at_once) == [(steps, steps), (0, 0), (steps, steps)]
    targets = targets_of([(0, 600), (0, 0), (0, 600)], *NO_UNITS, *at_once) if name != "oracle" else []
    assert targets == [Units(aggregated=steps), Units(), Units(aggregated=steps)][: len(targets)]


def test_reactive_sleeps_an_interval_later() -> None:
    sets = (*NONE, "policy.name=reactive", "policy.tolerance=0", "policy.down_cooldown_s=0")
    assert decided([(600, 600), (600, 600), (0, 0), (0, 0), (600, 600), (0, 0)], *sets) == [
        (4, 4),
        (1, 1),
        (1, 1),
        (0, 0),
        (0, 0),
        (1, 1),
    ]


def test_spare_units_leave_room_for_a_step_and_keep_a_service_awake() -> None:
    sets = (*NONE, "policy.name=predictive", "policy.spare_prefill_units=1", "fleet.start_up_s=0")
    assert decided([(0, 0), (600, 600)], *sets) == [(1, 0), (2, 1)]
    with pytest.raises(UsageError, match=r"spare units take 10 of 12 nodes and a scaling step needs 3; lower"):
        decided([(0, 0)], *NONE, "policy.spare_prefill_units=10")


def test_a_role_that_wants_nothing_takes_no_share() -> None:
    wants = tuple(Want(units=units, least=0, step=1, unit_nodes=1) for units in (0, 9))
    assert shared((wants[0], wants[1]), 5) == (0, 5)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["fleet.base.prefill=0"], "raise base.prefill or base.decode, or set both to 0 for a service that may sleep"),
        ([*NONE, "fleet.step.prefill=0"], "so that it would never serve; set step.prefill and step.decode"),
        ([*NONE, "fleet.scaling=independent", "fleet.nodes=2"], "a scaling step takes 3 nodes and the fleet has 2"),
        (["fleet.keeps=sleep"], "(keeps=sleep) and sleep_start_up_s is left out; set it"),
        (["fleet.keeps=resident", "fleet.sleep_start_up_s=1"], "(keeps=resident) and resident_start_up_s is left out"),
        (["fleet.keeps=all"], "fleet.keeps"),
        (["fleet.sleep_start_up_s=-1"], "fleet.sleep_start_up_s"),
    ],
)
def test_what_cannot_sleep_is_said(overrides: list[str], told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        small_scenario(*overrides)
    assert told in str(refused.value)


# replays


def lives(*times: tuple[float, float]) -> Lives:
    serve, drain = (np.array(column, np.float64) for column in zip(*times, strict=True))
    return Lives(serve, drain, drain)


def test_times_without_a_unit() -> None:
    assert times_without(lives((0, 10), (5, 20), (30, 40), (35, 35)), 60).tolist() == [[20, 30], [40, 60]]
    assert times_without(lives((0, np.inf)), 60).tolist() == []
    assert times_without(lives((5, 10), (70, np.inf)), 60).tolist() == [[0, 5], [10, 60]]
    assert times_without(Lives(*(np.empty(0) for _ in range(3))), 60).tolist() == [[0, 60]]


def test_requests_that_come_while_a_role_has_no_unit_are_counted_once() -> None:
    held = {"prefill": lives((0, 20), (30, np.inf)), "decode": lives((0, 25), (28, np.inf))}
    count = SleepCount(held, held, Span(from_us=5, to_us=90, end_us=99))
    arrivals = np.array([3, 19, 20, 24, 26, 29, 30, 95], np.int64)
    nothing = np.zeros(len(arrivals), np.int64)
    columns = dict.fromkeys(Requests.COLUMNS, nothing) | {"arrival_us": arrivals}
    (passed,) = count.passing([Requests(**columns)])
    assert passed.arrival_us is arrivals
    assert (count.for_start, count.for_repair) == (4, 0)


def test_requests_that_come_while_all_units_of_a_role_have_failed_are_counted_apart() -> None:
    # both decode units are down from 40 to 50; prefill is not planned before 10, and down from 60 to 70
    planned = {"prefill": lives((10, np.inf)), "decode": lives((0, np.inf), (0, np.inf))}
    failing = {
        "prefill": lives((10, 60), (70, np.inf)),
        "decode": lives((0, 40), (0, 30), (50, np.inf), (55, np.inf)),
    }
    count = SleepCount(failing, planned, Span(from_us=5, to_us=90, end_us=99))
    arrivals = np.array([6, 8, 20, 35, 42, 49, 52, 66, 95], np.int64)
    columns = dict.fromkeys(Requests.COLUMNS, np.zeros(len(arrivals), np.int64)) | {"arrival_us": arrivals}
    assert len(list(count.passing([Requests(**columns)]))) == 1
    assert (count.for_start, count.for_repair) == (2, 3)


def test_a_fleet_that_always_holds_units_never_sleeps() -> None:
    assert replayed(two((1, 1), (2, 1)), *NONE).sleep_states is None

"""Units that do both: every policy by hand over four intervals, and what becomes of its targets."""

import numpy as np
import pytest

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from planner.errors import RunError, ScenarioError, UsageError
from planner.settings.fleet import FleetSettings
from tests.conftest import small_scenario
from tests.helpers.aggregated import DEMAND, UNITS
from tests.helpers.intervals import demand_of
from tests.helpers.policies import targets_of

AT_ONCE = ("fleet.start_up_s=0", "fleet.drain_deadline_s=0")


def decided(name: str, *overrides: str) -> list[int]:
    """Units that a policy decides for the demand."""
    targets = targets_of(DEMAND, *UNITS, f"policy.name={name}", *AT_ONCE, *overrides)
    assert all(target == target.only("aggregated") for target in targets)
    return [target.aggregated for target in targets]


def fleet(*overrides: str) -> FleetSettings:
    return small_scenario(*UNITS, *overrides).fleet


def replayed(
    units: list[int], *overrides: str, demand: list[tuple[float, float]] = DEMAND, ahead: bool = True
) -> IntervalPlan:
    scenario = small_scenario(*UNITS, *overrides)
    tokens = demand_of([(int(inputs), int(outputs)) for inputs, outputs in demand][: len(units)])
    targets = [Units(aggregated=count) for count in units]
    return replay_intervals(
        targets, tokens, Deployment(scenario.fleet), scenario.training, ahead=ahead, floor=Units(aggregated=1)
    )


# every policy


def test_predictive_takes_the_fewest_units_that_carry_both_kinds_of_tokens() -> None:
    assert decided("predictive") == [3, 4, 1, 1]
    assert decided("predictive", "policy.target_utilisation=0.5") == [6, 7, 2, 2]


def test_reactive_follows_an_interval_later() -> None:
    assert decided("reactive", "policy.tolerance=0", "policy.down_cooldown_s=0") == [8, 3, 4, 1]


def test_slo_meets_the_targets() -> None:
    # met at half use
    assert decided("slo") == [6, 7, 2, 2]


def test_night_training_keeps_the_full_fleet_by_day_and_the_fewest_units_at_night() -> None:
    assert decided("night-training") == [3, 4, 1, 1]
    assert decided("night-training", "policy.day_window=00:02-00:03") == [3, 4, 8, 1]


def test_fixed_holds_what_it_is_told_or_everything() -> None:
    assert decided("fixed") == [8, 8, 8, 8]
    assert decided("fixed", "policy.fixed_aggregated_units=5") == [5, 5, 5, 5]


def test_bounds_are_nodes_with_all_their_units() -> None:
    bounds = 'policy.bounds=[{days="sat", window="00:00-24:00", floor_nodes=1, ceiling_nodes=1}]'
    assert decided("scheduled-bounds", "policy.inside=predictive", bounds) == [2, 2, 2, 2]


def test_a_floor_of_nodes_keeps_all_their_units_since_they_are_paid() -> None:
    assert decided("predictive", "policy.floor_nodes=1") == [3, 4, 2, 2]
    assert decided("predictive", "policy.floor_nodes=3") == [6, 6, 6, 6]
    assert decided("predictive", "policy.floor_nodes=4") == [8, 8, 8, 8]


def test_steps_of_several_units() -> None:
    assert decided("predictive", "fleet.base.aggregated=2", "fleet.step.aggregated=3") == [5, 5, 2, 2]


def test_rules_around_a_policy() -> None:
    assert decided("predictive", "policy.spare_aggregated_units=2") == [5, 6, 3, 3]
    assert decided("predictive", "policy.ramp_nodes=1") == [3, 4, 2, 1]
    assert decided("predictive", "policy.min_up_s=120") == [3, 4, 4, 1]
    assert decided("predictive", "policy.survivor_utilisation=1.0") == [3, 4, 4, 2]


def test_spare_units_leave_room_for_the_base() -> None:
    with pytest.raises(UsageError, match=r"spare units take 4 of 4 nodes .* lower policy\.spare_aggregated_units$"):
        decided("predictive", "policy.spare_aggregated_units=8")


# what becomes of targets


def test_four_intervals_by_hand() -> None:
    # 10 s to start, 5 s to drain. The fourth unit is on the second node, which others hold already
    plan = replayed([3, 4, 1, 1])
    assert plan.aggregated_units.tolist() == [3, 4, 1, 1]
    assert plan.prefill_units.tolist() == plan.decode_units.tolist() == [0, 0, 0, 0]
    assert plan.inference_nodes.tolist() == [2, 2, 1, 1]
    assert plan.serving_node_s.tolist() == [120, 115, 60, 60]
    assert plan.starting_node_s.tolist() == [0, 0, 0, 0]
    assert plan.draining_node_s.tolist() == [0, 5, 0, 0]
    # units of the targets over 3, 10/3, 1 and 1 that the mixes take
    assert plan.prefill_capacity_tokens.tolist() == [2400, 5760, 0, 1800]
    assert plan.decode_capacity_tokens.tolist() == [1200, 720, 600, 0]
    # the second: 60 s of one unit, 55 s of two, 45 s of one, which is 215 of 200 s that are needed
    assert plan.prefill_serving_tokens.tolist() == [2400, 5160, 0, 1800]
    assert plan.decode_serving_tokens.tolist() == [1200, 645, 600, 0]
    assert not plan.shortfall_tokens.any()


def test_tokens_fall_short_in_the_mix_in_which_they_come() -> None:
    # two units have 120 s of the 180 and the 200 that are needed
    plan = replayed([2, 2, 1, 1])
    assert plan.steady_shortfall_input_tokens.tolist() == [800, 1920, 0, 0]
    assert plan.steady_shortfall_output_tokens.tolist() == [400, 240, 0, 0]


def test_units_that_start_carry_nothing_yet() -> None:
    # 2 units serve for 60 s and one for 50 s of the 180 s that are needed; nothing is short of what the target has
    plan = replayed([2, 3, 3, 3], demand=[(2400.0, 1200.0)] * 4)
    assert plan.start_up_shortfall_input_tokens.tolist() == [0, 134, 0, 0]
    assert plan.start_up_shortfall_output_tokens.tolist() == [0, 67, 0, 0]
    assert plan.steady_shortfall_input_tokens.tolist() == [800, 0, 0, 0]


def test_an_interval_without_demand_has_the_capacity_of_the_whole_mix() -> None:
    plan = replayed([3, 3], demand=[(2400.0, 1200.0), (0.0, 0.0)])
    assert plan.prefill_capacity_tokens.tolist() == [2400, 2400]
    assert plan.decode_capacity_tokens.tolist() == [1200, 1200]


def test_without_any_demand_the_middle_pair_counts() -> None:
    plan = replayed([3], demand=[(0.0, 0.0)])
    assert (plan.prefill_capacity_tokens.tolist(), plan.decode_capacity_tokens.tolist()) == ([3600], [900])


def test_a_node_is_lent_only_when_no_unit_holds_a_part_of_it() -> None:
    # 5, 4, 3 and 2 units are on 3, 2, 2 and 1 nodes
    plan = replayed([5, 4, 3, 2], "training.lend=true", "training.restore_s=0", demand=[(0.0, 600.0)] * 4)
    assert plan.training_node_s.tolist() == [60, 120, 120, 180]
    held = plan.inference_node_s + plan.training_node_s + plan.restoring_node_s + plan.idle_node_s
    assert held.tolist() == [240, 240, 240, 240]


@pytest.mark.parametrize(("nodes", "held"), [(1, 3), (2, 6)])
def test_units_of_whole_nodes(nodes: int, held: int) -> None:
    whole = [text for text in UNITS if not text.startswith(("fleet.unit.gpus", "fleet.nodes"))]
    deployment = Deployment(small_scenario(*whole, f"fleet.unit.nodes={nodes}", "fleet.nodes=6").fleet)
    assert deployment.most == 6 // nodes
    assert deployment.nodes(Units(aggregated=3)) == held
    assert [units.aggregated for units in deployment.ladder] == list(range(1, 6 // nodes + 1))


def test_a_unit_of_three_gpus_leaves_two_of_eight_free() -> None:
    deployment = Deployment(fleet("fleet.gpus_per_node=8", "fleet.unit.gpus=3"))
    assert deployment.units_per_node == 2
    assert deployment.most == 8


def test_a_target_beyond_the_fleet_is_refused() -> None:
    with pytest.raises(RunError, match=r"interval 2 asks for 5 nodes \(9 units\) and the fleet has 4"):
        replayed([3, 9])


def test_enough_looks_at_every_interval_and_not_at_the_busiest_of_each_kind() -> None:
    deployment = Deployment(fleet())
    inputs, outputs = (np.array([pair[role] for pair in DEMAND]) for role in (0, 1))
    assert deployment.enough(inputs, outputs, 60) == Units(aggregated=4)
    # 4,800 input and 1,200 output tokens at once take 4800/2400 + 1200/600 units, and so would these
    assert deployment.enough([4800, 0], [0, 1200], 60) == Units(aggregated=3)
    assert deployment.enough(4800, 1200, 60) == Units(aggregated=4)


# what is refused


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("fleet.unit.gpus=3", "a unit of 3 GPUs is neither a part of a node of 2 nor whole nodes"),
        ("fleet.scaling=independent", "units that do both have no roles that could scale apart"),
        ("fleet.step.aggregated=0", "step has no unit; set step.aggregated to at least 1"),
        ("fleet.base.aggregated=9", "base.aggregated is 9, and 4 nodes can hold 8 units"),
        ("fleet.unit.nodes=1", "give one of unit.gpus and unit.nodes"),
        ("fleet.unit.tokens_per_s=[]", "has no pair"),
        ("fleet.unit.tokens_per_s=[[5, 5], [4, 6]]", "sort them"),
        ("fleet.unit.tokens_per_s=[[5, 5], [6, 5]]", "leave out those that another exceeds"),
        ("fleet.unit.tokens_per_s=[[0, 5]]", "no pair has input"),
        ("fleet.unit.tokens_per_s=[[5, -1]]", "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_a_fleet_is_said(override: str, told: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        fleet(override)
    assert told in str(refused.value)


def test_observed_capacity_needs_what_was_observed() -> None:
    without = [text for text in UNITS if not text.startswith("fleet.unit.tokens_per_s")]
    with pytest.raises(ScenarioError, match=r"capacity is observed and unit\.tokens_per_s is left out"):
        small_scenario(*without)


def test_aggregated_serving_needs_a_unit() -> None:
    with pytest.raises(
        ScenarioError, match=r"serving is aggregated and unit is left out; set unit\.gpus or unit\.nodes"
    ):
        small_scenario("fleet.serving=aggregated")

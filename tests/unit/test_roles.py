"""Roles that scale apart: every policy by hand over four intervals, and the rule that shares a fleet that is short.

The small fleet has 12 nodes. A prefill unit is a node and carries 600 input tokens a minute, a decode unit is two nodes
and carries 600 output tokens; base and steps are a unit of each.
"""

from datetime import datetime
from fractions import Fraction
from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.sharing import Want, shared
from planner.core.fleet.units import Units
from planner.core.policy import Timetable
from planner.errors import ScenarioError, UsageError
from tests.conftest import small_scenario
from tests.helpers.policies import decided, policy_for, targets_of

APART = ("fleet.scaling=independent", "fleet.start_up_s=0", "fleet.drain_deadline_s=0")
DEMAND = [(1200.0, 500.0), (2400.0, 500.0), (600.0, 1100.0), (500.0, 1700.0)]
"""Two, four, one and one prefill units; one, one, two and three decode units."""


def apart(name: str, *overrides: str) -> list[tuple[int, int]]:
    """What a policy decides for the demand, each role by its own."""
    return decided(DEMAND, f"policy.name={name}", *APART, *overrides)


# every policy


def test_predictive_takes_the_fewest_units_of_each_role() -> None:
    assert decided(DEMAND, "policy.name=predictive", *APART[1:]) == [(2, 2), (4, 4), (2, 2), (3, 3)]
    assert apart("predictive") == [(2, 1), (4, 1), (1, 2), (1, 3)]


def test_each_role_has_its_own_step_and_one_without_a_step_keeps_its_base() -> None:
    assert apart("predictive", "fleet.step.prefill=2") == [(3, 1), (5, 1), (1, 2), (1, 3)]
    assert apart("predictive", "fleet.step.prefill=0", "fleet.base.prefill=3") == [(3, 1), (3, 1), (3, 2), (3, 3)]


def test_reactive_follows_each_role_an_interval_later() -> None:
    assert apart("reactive", "policy.tolerance=0", "policy.down_cooldown_s=0") == [(4, 4), (2, 1), (4, 1), (1, 2)]


def test_a_cooldown_after_a_change_of_one_role_does_not_hold_the_other() -> None:
    # decode gave units up at the second minute, and prefill added some at the third: each waits for its own
    held = apart("reactive", "policy.tolerance=0", "policy.down_cooldown_s=120")
    assert held == [(4, 4), (2, 1), (4, 1), (4, 2)]


def test_slo_meets_each_roles_target() -> None:
    # met at half use: 4, 8, 2 and 2 prefill units; 2, 2 and 4 decode units, then 6 where beside two prefill units 5 fit
    assert apart("slo") == [(4, 2), (8, 2), (2, 4), (2, 5)]


def test_the_oracle_has_the_same_units_as_before() -> None:
    assert apart("oracle") == [(2, 1), (4, 1), (1, 2), (1, 3)]


def test_night_training_keeps_its_bundle_unless_it_is_told() -> None:
    assert apart("night-training") == [(2, 2), (4, 4), (2, 2), (3, 3)]
    assert apart("night-training", "policy.night_bundle=false") == [(2, 1), (4, 1), (1, 2), (1, 3)]


def test_the_day_window_keeps_the_full_fleet_of_the_bundle() -> None:
    assert apart("night-training", "policy.night_bundle=false", "policy.day_window=00:00-00:02") == [
        (4, 4),
        (4, 4),
        (1, 2),
        (1, 3),
    ]


def test_fixed_has_units_of_each_role_anyway() -> None:
    assert apart("fixed") == [(4, 4)] * 4
    assert apart("fixed", "policy.fixed_decode_units=2") == [(4, 2)] * 4


def test_a_timetable_names_units_and_one_of_nodes_is_refused() -> None:
    deployment, noon = Deployment(small_scenario(*APART).fleet), datetime(2025, 3, 1, 12)
    assert Timetable.of([(noon, Units(7, 1))], deployment).units == (Units(7, 1),)
    with pytest.raises(UsageError, match=r"asks for 6 nodes.*; give prefill_units and decode_units"):
        Timetable.of([(noon, 6)], deployment)


def test_bounds_hold_for_each_role_and_a_ceiling_is_shared() -> None:
    inside = ("policy.inside=predictive",)
    # a floor of 6 nodes is two units of each role
    assert apart("scheduled-bounds", *inside, "policy.bounds=[{floor_nodes=6}]") == [(2, 2), (4, 2), (2, 2), (2, 3)]
    # of 5 nodes, (4, 1) gets three prefill units beside the decode unit and (1, 3) two decode units
    assert apart("scheduled-bounds", *inside, "policy.bounds=[{ceiling_nodes=5}]") == [(2, 1), (3, 1), (1, 2), (1, 2)]


def test_a_floor_raises_no_role_out_of_the_fleet() -> None:
    # nine nodes are three units of each role; prefill wants eight, and gets what three decode units leave
    bounds = ("policy.name=scheduled-bounds", "policy.inside=predictive", "policy.bounds=[{floor_nodes=9}]")
    assert decided([(4800, 0)], *APART, *bounds) == [(6, 3)]


# rules around policies


def test_floor_ramp_and_minimum_time_are_each_roles_own() -> None:
    assert apart("predictive", "policy.floor_nodes=6") == [(2, 2), (4, 2), (2, 2), (2, 3)]
    # two nodes are two prefill units or a decode unit
    assert apart("predictive", "policy.ramp_nodes=2") == [(2, 1), (4, 1), (2, 2), (1, 3)]
    assert apart("predictive", "policy.min_up_s=180") == [(2, 1), (4, 1), (4, 2), (4, 3)]


def test_a_ramp_below_a_roles_step_is_refused() -> None:
    with pytest.raises(UsageError, match=r"ramp_nodes is 1 and a decode step has 2 nodes"):
        apart("predictive", "policy.ramp_nodes=1")
    assert apart("predictive", "policy.ramp_nodes=1", "fleet.step.decode=0") == [(2, 1), (3, 1), (2, 1), (1, 1)]


def test_survivors_of_a_role_carry_what_was_observed_of_it() -> None:
    # 2,400 input tokens were observed at the second minute, 1,100 output tokens at the third
    held = apart("predictive", "policy.survivor_utilisation=1.0")
    assert held == [(2, 1), (4, 1), (4, 2), (1, 3)]


def test_spare_units_are_on_top_of_each_role() -> None:
    assert apart("predictive", "policy.spare_decode_units=1") == [(2, 2), (4, 2), (1, 3), (1, 4)]


def test_what_joins_waits_where_another_role_has_to_stay() -> None:
    # eight prefill units stay for their minimum time: of four decode units that are wanted, two find room
    demand = [(600.0, 500.0), (4800.0, 500.0), (600.0, 2400.0), (600.0, 2400.0), (600.0, 2400.0)]
    held = decided(demand, "policy.name=predictive", *APART, "policy.min_up_s=120")
    assert held == [(1, 1), (8, 1), (8, 2), (1, 4), (1, 4)]


# a fleet that is short


def test_roles_that_want_too_much_get_the_same_share_of_it() -> None:
    # 8 and 4 units are 16 nodes: of 12, three quarters of each
    assert decided([(4800, 2400)], "policy.name=predictive", *APART) == [(6, 3)]
    # 10 and 3 units are 16 nodes: three quarters of 3 are two, which leaves eight
    assert decided([(6000, 1800)], "policy.name=predictive", *APART) == [(8, 2)]


def test_shares_by_hand() -> None:
    def units(prefill: int, decode: int, nodes: int, *, least: tuple[int, int] = (0, 0)) -> tuple[int, int]:
        first = Want(units=prefill, least=least[0], step=1, unit_nodes=1)
        return shared((first, Want(units=decode, least=least[1], step=2, unit_nodes=3)), nodes)

    assert units(8, 8, 32) == (8, 8)
    assert units(8, 8, 16) == (4, 4)
    # the second takes steps of 6 nodes: two leave three nodes to the first, and with 13 in all a single one
    assert units(8, 8, 15) == (3, 4)
    assert units(8, 8, 13) == (7, 2)
    # what is given in any case counts towards the share
    assert units(8, 8, 16, least=(7, 0)) == (8, 2)
    assert units(8, 8, 3, least=(2, 2)) == (2, 2)


WANTS = st.builds(
    lambda units, least, step, nodes: Want(units=units, least=min(units, least), step=step, unit_nodes=nodes),
    st.integers(1, 12),
    st.integers(0, 12),
    st.integers(0, 3),
    st.sampled_from([1, 2, 4]),
)


@given(WANTS, WANTS, st.integers(0, 40))
def test_no_other_whole_steps_have_a_larger_smaller_share_and_no_step_that_fits_is_left(
    first: Want, second: Want, nodes: int
) -> None:
    wants = (first, second)

    def share(counts: tuple[int, ...]) -> Fraction:
        return min(want.share(count) for want, count in zip(wants, counts, strict=True))

    fitting = [
        counts
        for counts in product(range(first.steps + 1), range(second.steps + 1))
        if sum(want.nodes(count) for want, count in zip(wants, counts, strict=True)) <= nodes
    ]
    units = shared(wants, nodes)
    if not fitting:
        assert units == (first.least, second.least)
        return
    given_steps = tuple(
        (held - want.least) // want.step if want.step else 0 for held, want in zip(units, wants, strict=True)
    )
    assert given_steps in fitting
    assert share(given_steps) == max(map(share, fitting))
    assert not any(
        all(more >= had for more, had in zip(other, given_steps, strict=True))
        for other in fitting
        if other != given_steps
    )


# what holds for every demand

LOADS = st.lists(st.floats(0, 9), min_size=1, max_size=12)
PAIRS = st.lists(st.tuples(st.floats(0, 6000), st.floats(0, 3000)), min_size=1, max_size=12)
NAMES = ("reactive", "predictive", "slo", "night-training")
RULES = ("policy.min_up_s=120", "policy.ramp_nodes=6", "policy.survivor_utilisation=0.9", "policy.spare_decode_units=1")


@pytest.mark.parametrize("name", NAMES)
@given(LOADS)
def test_roles_with_the_same_demand_scale_as_their_bundle(name: str, loads: list[float]) -> None:
    demand = [(600 * load, 600 * load) for load in loads]
    own = (f"policy.name={name}", "policy.night_bundle=false")
    assert decided(demand, *own, "fleet.scaling=independent") == decided(demand, *own)


@pytest.mark.parametrize("name", [*NAMES, "scheduled-bounds"])
@given(PAIRS, st.booleans())
def test_no_policy_asks_for_more_nodes_than_the_fleet_has(
    name: str, demand: list[tuple[float, float]], ruled: bool
) -> None:
    own = (f"policy.name={name}", "policy.night_bundle=false", "policy.bounds=[{floor_nodes=6}]", *APART)
    targets = targets_of(demand, *own, *(RULES if ruled else ()))
    deployment = Deployment(small_scenario(*own).fleet)
    floor = deployment.floor(3)
    for units in targets:
        assert deployment.nodes(units) <= 12
        assert units.prefill >= floor.prefill
        assert units.decode >= floor.decode


@pytest.mark.parametrize("name", NAMES)
@given(PAIRS)
def test_sharing_takes_no_unit_away_before_its_minimum_time(name: str, demand: list[tuple[float, float]]) -> None:
    own = (f"policy.name={name}", "policy.night_bundle=false", *APART, "policy.min_up_s=120", "policy.min_down_s=120")
    held = decided(demand, *own)
    for role in (0, 1):
        changes = [after[role] - before[role] for before, after in pairwise(held)]
        # an interval is a minute: after one in which some joined none leave, and after one in which some left none join
        assert all(before * after >= 0 for before, after in pairwise(changes))


@pytest.mark.parametrize("name", NAMES)
@given(PAIRS)
def test_where_nodes_suffice_each_role_has_the_units_that_it_takes_alone(
    name: str, demand: list[tuple[float, float]]
) -> None:
    own = (f"policy.name={name}", "policy.night_bundle=false", *APART, "fleet.nodes=60")
    both = decided(demand, *own)
    prefill = decided([(tokens, 0.0) for tokens, _ in demand], *own)
    decode = decided([(0.0, tokens) for _, tokens in demand], *own)
    assert both == [(one, other) for (one, _), (_, other) in zip(prefill, decode, strict=True)]


@given(PAIRS)
def test_no_role_holds_more_than_the_bundle_where_the_fleet_is_not_short(demand: list[tuple[float, float]]) -> None:
    own = ("policy.name=predictive", "fleet.nodes=60")
    for apart_, bundled in zip(decided(demand, *own, *APART), decided(demand, *own, *APART[1:]), strict=True):
        assert apart_[0] <= bundled[0]
        assert apart_[1] <= bundled[1]


# fleets and what is said of them


def test_the_full_fleet_is_whole_steps_of_both_and_single_ones_in_the_nodes_that_are_left() -> None:
    def full(*overrides: str) -> Units:
        return Deployment(small_scenario("fleet.scaling=independent", *overrides).fleet).full

    assert full() == Units(4, 4)
    # 14 nodes: beside four units of each there is room for a decode unit or two prefill units
    assert full("fleet.nodes=14") == Units(6, 4)
    # both steps together do not fit beside the base, a single one does
    assert full("fleet.step.prefill=6", "fleet.step.decode=4") == Units(7, 1)


def test_units_that_would_be_enough_are_each_roles_own() -> None:
    apart_, bundled = (Deployment(small_scenario(f"fleet.scaling={way}").fleet) for way in ("independent", "bundled"))
    assert apart_.enough(2400, 500, 60) == Units(4, 1)
    assert bundled.enough(2400, 500, 60) == Units(4, 4)
    # seven prefill units and a decode unit are nine nodes; the bundle has at most four of each
    assert apart_.reaches(Units(7, 1))
    assert not bundled.reaches(Units(7, 1))
    assert not apart_.reaches(Units(7, 3))


def test_steps_are_measured_against_the_fleet_role_by_role() -> None:
    steps = ("fleet.step.prefill=8", "fleet.step.decode=3")
    assert small_scenario("fleet.scaling=independent", *steps).fleet.step.prefill == 8
    with pytest.raises(ScenarioError, match="a scaling step takes 14 nodes and the fleet has 12"):
        small_scenario(*steps)
    with pytest.raises(ScenarioError, match="a scaling step takes 14 nodes and the fleet has 12"):
        small_scenario("fleet.scaling=independent", "fleet.step.decode=7")


def test_the_plan_says_that_roles_scale_apart() -> None:
    policy = policy_for(small_scenario("fleet.scaling=independent", "policy.name=reactive", "policy.floor_nodes=4"), [])
    assert policy.notes == (
        "prefill and decode scale apart, each by its own demand (fleet.scaling)",
        "floor of 4 nodes rounded up to 6: the base units plus whole scaling steps",
    )

"""Policies: a tick in, units out."""

from datetime import UTC, datetime, timedelta

import pytest
from conftest import small_scenario
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import UsageError
from planner.fleet.deployment import Deployment, Units
from planner.policy import POLICIES, Seen, decide_all, make_policy
from planner.policy.base import Tick
from planner.policy.timetable import Timetable

MIDNIGHT = datetime(2025, 3, 1, tzinfo=UTC)


def starts(count: int, seconds: int = 60) -> list[datetime]:
    return [MIDNIGHT + timedelta(seconds=seconds * index) for index in range(count)]


def decided(demand: list[tuple[float, float]], *overrides: str) -> list[tuple[int, int]]:
    scenario = small_scenario(*overrides)
    policy = make_policy(scenario.policy, Deployment(scenario.fleet))
    targets = decide_all(policy, starts(len(demand)), 60, [Seen(*pair) for pair in demand])
    return [(units.prefill, units.decode) for units in targets]


def test_the_ladder_is_the_base_and_whole_steps_within_the_fleet() -> None:
    deployment = Deployment(small_scenario("fleet.nodes=11").fleet)
    assert deployment.ladder == (Units(1, 1), Units(2, 2), Units(3, 3))
    assert [deployment.nodes(units) for units in deployment.ladder] == [3, 6, 9]


def test_night_training_takes_the_fewest_steps_that_carry_both_roles() -> None:
    # a step carries 600 input and 600 output tokens a minute
    demand = [(600, 600), (601, 0), (0, 1201), (1, 1), (99_999, 0)]
    assert decided(demand) == [(1, 1), (2, 2), (3, 3), (1, 1), (4, 4)]


def test_night_training_keeps_the_target_utilisation() -> None:
    assert decided([(301, 0), (300, 0)], "policy.target_utilisation=0.5") == [(2, 2), (1, 1)]


def test_night_training_keeps_its_floor_rounded_up_to_whole_steps_and_says_so() -> None:
    scenario = small_scenario("policy.floor_nodes=4")
    policy = make_policy(scenario.policy, Deployment(scenario.fleet))
    assert decided([(0, 0)], "policy.floor_nodes=4") == [(2, 2)]
    assert policy.notes == ("floor of 4 nodes rounded up to 6: the base units plus whole scaling steps",)
    assert make_policy(small_scenario().policy, Deployment(small_scenario().fleet)).notes == ()


def test_night_training_keeps_the_full_fleet_in_the_day_window() -> None:
    assert decided([(0, 0)] * 4, "policy.day_window=00:01-00:03") == [(1, 1), (4, 4), (4, 4), (1, 1)]


def test_an_interval_that_touches_the_day_window_counts_as_day() -> None:
    scenario = small_scenario("policy.day_window=00:30-00:31")
    policy = make_policy(scenario.policy, Deployment(scenario.fleet))
    assert policy.decide(Tick(MIDNIGHT, 3600, Seen(0, 0))) == Units(4, 4)
    assert policy.decide(Tick(MIDNIGHT + timedelta(hours=1), 3600, Seen(0, 0))) == Units(1, 1)


def test_what_cannot_be_seen_keeps_the_full_fleet() -> None:
    scenario = small_scenario()
    policy = make_policy(scenario.policy, Deployment(scenario.fleet))
    assert policy.decide(Tick(MIDNIGHT, 60, None)) == Units(4, 4)


@pytest.mark.parametrize(("source", "ahead"), [("trace", True), ("profile", True), ("previous", False)])
def test_only_the_previous_interval_is_known_too_late_to_drain_before_it(source: str, ahead: bool) -> None:
    scenario = small_scenario(f"policy.demand_source={source}")
    assert make_policy(scenario.policy, Deployment(scenario.fleet)).ahead is ahead


@given(st.lists(st.tuples(st.floats(0, 3000), st.floats(0, 3000)), min_size=1, max_size=20), st.floats(0, 500))
def test_more_demand_never_needs_fewer_units_and_capacity_covers_it_or_is_full(
    demand: list[tuple[float, float]], more: float
) -> None:
    deployment = Deployment(small_scenario().fleet)
    low, high = decided(demand), decided([(i + more, o + more) for i, o in demand])
    for (i, o), before, after in zip(demand, low, high, strict=True):
        assert after >= before
        assert deployment.covers(Units(*before), i, o, 60) or Units(*before) == deployment.full


def test_fixed_holds_its_units_and_the_full_fleet_by_default() -> None:
    assert decided([(0, 0)] * 2, "policy.name=fixed") == [(4, 4)] * 2
    assert decided([(0, 0)], "policy.name=fixed", "policy.fixed_prefill_units=2") == [(2, 4)]


def test_a_timetable_holds_each_entry_until_the_next_and_repeats_daily() -> None:
    deployment = Deployment(small_scenario().fleet)
    noon, evening = datetime(2025, 3, 1, 12), datetime(2025, 3, 1, 18)
    policy = Timetable.of([(evening, 3), (noon, Units(2, 3))], deployment)
    for day in (1, 2, 9):
        assert policy.decide(Tick(datetime(2025, 3, day, 12, tzinfo=UTC), 60, None)) == Units(2, 3)
        assert policy.decide(Tick(datetime(2025, 3, day, 17, 59, tzinfo=UTC), 60, None)) == Units(2, 3)
        assert policy.decide(Tick(datetime(2025, 3, day, 18, tzinfo=UTC), 60, None)) == Units(1, 1)
        assert policy.decide(Tick(datetime(2025, 3, day, 11, 59, tzinfo=UTC), 60, None)) == Units(1, 1)


def test_a_timetable_of_a_week_repeats_weekly() -> None:
    deployment = Deployment(small_scenario().fleet)
    policy = Timetable.of([(datetime(2025, 3, day), 3 if day < 7 else 6) for day in range(1, 8)], deployment)
    held = [policy.decide(Tick(datetime(2025, 3, day, tzinfo=UTC), 60, None)).prefill for day in range(1, 15)]
    assert held == [1, 1, 1, 1, 1, 1, 2] * 2


def test_a_timetable_with_two_rows_for_a_time_is_refused() -> None:
    noon = datetime(2025, 3, 1, 12)
    with pytest.raises(UsageError, match="two rows for 2025-03-01 12:00"):
        Timetable.of([(noon, 3), (noon, 6)], Deployment(small_scenario().fleet))


def test_a_timetable_that_asks_for_broken_steps_names_the_whole_ones() -> None:
    with pytest.raises(
        UsageError, match="asks for 4 nodes at 2025-03-01 12:00 and whole scaling steps give 3, 6, 9, 12"
    ):
        Timetable.of([(datetime(2025, 3, 1, 12), 4)], Deployment(small_scenario().fleet))


def test_an_unknown_policy_lists_the_known_ones() -> None:
    scenario = small_scenario("policy.name=guess")
    with pytest.raises(UsageError, match=", ".join(POLICIES)):
        make_policy(scenario.policy, Deployment(scenario.fleet))

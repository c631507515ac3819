"""Policies: a tick in, units out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.policy import (
    POLICIES,
    PastTargets,
    PolicyInputs,
    Seen,
    Sight,
    make_policy,
)
from planner.core.policy.base import Tick
from planner.core.policy.timetable import Timetable
from planner.errors import ScenarioError, UsageError
from planner.settings.policy import parse_days
from tests.conftest import small_scenario
from tests.helpers.policies import FILELESS, MIDNIGHT, decided, policy_for, steps


def tick(start: datetime, coming: Seen | None = None, seconds: int = 60) -> Tick:
    return Tick(start=start, interval_s=seconds, observed=None, coming=() if coming is None else (coming,), past=())


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
    assert policy.decide(tick(MIDNIGHT, Seen(0, 0), 3600)) == Units(4, 4)
    assert policy.decide(tick(MIDNIGHT + timedelta(hours=1), Seen(0, 0), 3600)) == Units(1, 1)


def test_what_cannot_be_seen_keeps_the_full_fleet() -> None:
    scenario = small_scenario()
    policy = make_policy(scenario.policy, Deployment(scenario.fleet))
    assert policy.decide(tick(MIDNIGHT)) == Units(4, 4)


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
        assert policy.decide(tick(datetime(2025, 3, day, 12, tzinfo=UTC))) == Units(2, 3)
        assert policy.decide(tick(datetime(2025, 3, day, 17, 59, tzinfo=UTC))) == Units(2, 3)
        assert policy.decide(tick(datetime(2025, 3, day, 18, tzinfo=UTC))) == Units(1, 1)
        assert policy.decide(tick(datetime(2025, 3, day, 11, 59, tzinfo=UTC))) == Units(1, 1)


def test_a_timetable_of_a_week_repeats_weekly() -> None:
    deployment = Deployment(small_scenario().fleet)
    policy = Timetable.of([(datetime(2025, 3, day), 3 if day < 7 else 6) for day in range(1, 8)], deployment)
    held = [policy.decide(tick(datetime(2025, 3, day, tzinfo=UTC))).prefill for day in range(1, 15)]
    assert held == [1, 1, 1, 1, 1, 1, 2] * 2


def test_a_timetable_with_two_rows_for_a_time_is_refused() -> None:
    noon = datetime(2025, 3, 1, 12)
    with pytest.raises(UsageError, match="two rows for 2025-03-01 12:00"):
        Timetable.of([(noon, 3), (noon, 6)], Deployment(small_scenario().fleet))


def test_a_timetable_that_asks_for_broken_steps_names_the_whole_ones() -> None:
    with pytest.raises(
        UsageError, match="asks for 4 nodes at 2025-03-01 12:00, but whole scaling steps in 12 nodes give 3, 6, 9, 12"
    ):
        Timetable.of([(datetime(2025, 3, 1, 12), 4)], Deployment(small_scenario().fleet))


def test_an_unknown_policy_lists_the_known_ones() -> None:
    for overrides in (["policy.name=guess"], ["policy.name=scheduled-bounds", "policy.inside=guess"]):
        scenario = small_scenario(*overrides)
        with pytest.raises(UsageError, match=r"guess.*" + ", ".join(POLICIES)):
            make_policy(scenario.policy, Deployment(scenario.fleet))


def test_the_past_is_a_view_that_does_not_grow() -> None:
    targets = [Units(1, 1), Units(2, 2)]
    past, less = PastTargets(targets, 2), PastTargets(targets, 2, less=Units(1, 0))
    targets.append(Units(3, 3))
    assert list(past) == past[:] == [Units(1, 1), Units(2, 2)]
    assert (past[-1], less[-1], less[0], len(less)) == (Units(2, 2), Units(1, 2), Units(0, 1), 2)
    with pytest.raises(IndexError):
        _ = past[2]


# reactive: capacity of a step is 1, the target utilisation 1 and the tolerance 0.1 unless set


def test_reactive_follows_what_was_observed_an_interval_before() -> None:
    at_once = ("policy.name=reactive", "policy.down_cooldown_s=0")
    assert steps([1, 3, 1, 1, 4, 1], *at_once) == [4, 2, 3, 2, 2, 4]
    assert steps([0.9, 0.9, 3.1, 0], *at_once) == [4, 1, 1, 4]


def test_reactive_starts_with_the_full_fleet_where_nothing_was_observed_and_keeps_its_floor() -> None:
    assert steps([0, 0, 0], "policy.name=reactive", "policy.floor_nodes=6") == [4, 2, 2]


def test_reactive_begins_with_the_fewest_steps_for_what_was_observed_before_it() -> None:
    scenario = small_scenario("policy.name=reactive", "policy.target_utilisation=0.5")
    policy = make_policy(scenario.policy, Deployment(scenario.fleet))
    tick = Tick(start=datetime(2025, 3, 1), interval_s=60, observed=Seen(450, 450), coming=(), past=())
    assert policy.decide(tick) == Units(2, 2)


def test_reactive_gives_up_only_what_leaves_the_rest_below_the_tolerance() -> None:
    # 1.9 steps of load could be carried by two, but at 95 %
    assert steps([1.9, 1.9], "policy.name=reactive") == [4, 3]
    assert steps([1.8, 1.8], "policy.name=reactive") == [4, 2]
    assert steps([1.9, 1.9], "policy.name=reactive", "policy.tolerance=0") == [4, 2]


def test_reactive_aims_at_the_target_utilisation() -> None:
    assert steps([0.5, 1, 1], "policy.name=reactive", "policy.target_utilisation=0.5") == [4, 2, 2]


def test_reactive_waits_out_its_cooldowns() -> None:
    load = [0.1, 3, 0.1, 0.1, 0.1, 0.1]
    assert steps(load, "policy.name=reactive", "policy.down_cooldown_s=0") == [4, 1, 3, 1, 1, 1]
    assert steps(load, "policy.name=reactive", "policy.down_cooldown_s=120") == [4, 1, 3, 3, 1, 1]
    rising = [0.1, 1.5, 2.5, 3.5, 3.5]
    assert steps(rising, "policy.name=reactive") == [4, 1, 2, 3, 4]
    assert steps(rising, "policy.name=reactive", "policy.up_cooldown_s=121") == [4, 1, 2, 2, 2]
    assert steps([*rising, 3.5], "policy.name=reactive", "policy.up_cooldown_s=121")[-1] == 4


def test_reactive_takes_as_many_steps_at_a_time_as_it_may() -> None:
    assert steps([0] * 5, "policy.name=reactive", "policy.most_steps_down=1", "policy.down_cooldown_s=0") == [
        4,
        3,
        2,
        1,
        1,
    ]
    assert steps([0, 4, 4, 4], "policy.name=reactive", "policy.most_steps_up=2") == [4, 1, 3, 4]


@pytest.mark.parametrize(
    ("step", "demand", "units"),
    [
        # a prefill unit is 1 of the 9 nodes beside the base and carries 600 input tokens a minute
        (("fleet.step.prefill=1", "fleet.step.decode=0"), lambda tokens: (tokens, 0), lambda count: (count, 1)),
        # a decode unit is 2 of them and carries 600 output tokens
        (("fleet.step.prefill=0", "fleet.step.decode=1"), lambda tokens: (0, tokens), lambda count: (1, count)),
    ],
    ids=["prefill", "decode"],
)
def test_reactive_waits_after_adding_units_of_either_role_alone(
    step: tuple[str, str],
    demand: Callable[[int], tuple[float, float]],
    units: Callable[[int], tuple[int, int]],
) -> None:
    rules = ("policy.name=reactive", "policy.up_cooldown_s=120", "policy.down_cooldown_s=0", *step)
    # 900 tokens observed ask for a second unit, 1500 for a third, a minute after the second: within the cooldown
    full, *later = decided([demand(tokens) for tokens in (500, 900, 1500, 1500, 1500)], *rules)
    assert full == units(10 if step[0].endswith("1") else 5)
    assert later == [units(count) for count in (1, 2, 2, 3)]


@given(st.floats(0.1, 3.9), st.lists(st.floats(0.95, 1.05), min_size=2, max_size=40), st.booleans())
def test_reactive_does_not_move_on_a_steady_load_with_noise_inside_its_tolerance(
    load: float, noise: list[float], limited: bool
) -> None:
    # from 0.95 to 1.05 is a ratio of 1.105, and the tolerance of 0.1 allows one of 1.111
    limits = ["policy.most_steps_down=1"] if limited else []
    held = steps([load * factor for factor in noise], "policy.name=reactive", "policy.down_cooldown_s=0", *limits)
    assert held == sorted(held, reverse=True)
    downs = [one for one, other in pairwise(held) if one != other]
    assert limited or len(downs) <= 3


# predictive


def test_predictive_starts_units_before_they_are_needed() -> None:
    # units load for 10 s, so what is needed in a minute has to start in this one
    assert steps([1, 1, 3, 1, 1], "policy.name=predictive") == [1, 3, 3, 1, 1]
    assert steps([1, 1, 3, 1, 1], "policy.name=predictive", "fleet.start_up_s=0") == [1, 1, 3, 1, 1]
    assert steps([1, 1, 3, 1, 1], "policy.name=predictive", "policy.lead_s=60") == [3, 3, 3, 1, 1]


def test_predictive_covers_each_kind_of_token_at_its_largest() -> None:
    assert decided([(0, 0), (1200, 0)], "policy.name=predictive") == [(2, 2), (2, 2)]
    assert decided([(1800, 0), (0, 1200)], "policy.name=predictive") == [(3, 3), (2, 2)]


def test_predictive_keeps_target_floor_and_the_full_fleet_where_it_cannot_see() -> None:
    assert steps([1, 1], "policy.name=predictive", "policy.target_utilisation=0.5") == [2, 2]
    assert steps([0, 0], "policy.name=predictive", "policy.floor_nodes=6") == [2, 2]
    assert steps([1, 1], "policy.name=predictive", "policy.demand_source=previous") == [4, 1]
    assert steps([9, 1], "policy.name=predictive") == [4, 1]


# scheduled-bounds; the demand asks for one step


def bounded(bounds: str, start: datetime, count: int, *overrides: str, load: float = 0.5) -> list[int]:
    return steps(
        [load] * count,
        "policy.name=scheduled-bounds",
        "policy.inside=predictive",
        "interval_s=3600",
        "fleet.prefill.tokens_per_s_per_node=0.166667",
        "fleet.decode.tokens_per_s_per_node=0.0833334",
        f"policy.bounds={bounds}",
        *overrides,
        start=start,
    )


def test_bounds_hold_in_their_hours_and_on_their_days() -> None:
    friday = datetime(2025, 2, 28, 22, tzinfo=UTC)
    floors = (
        '[{days="fri", window="23:00-24:00", floor_nodes=9}, {days="sat,sun", window="00:00-01:00", floor_nodes=6}]'
    )
    assert bounded(floors, friday, 4) == [1, 3, 2, 1]
    ceiling = '[{days="sat-mon", ceiling_nodes=6}]'
    assert bounded(ceiling, friday, 4, load=3.5) == [4, 4, 2, 2]


def test_a_floor_holds_for_the_units_of_both_roles() -> None:
    inside = ("policy.name=scheduled-bounds", "policy.inside=predictive")
    # no demand: one step, and three are the floor
    assert decided([(0, 0)], *inside, "policy.bounds=[{floor_nodes=9}]") == [(3, 3)]
    # steps of 2 prefill units and 1 decode unit: 4 nodes beside the base of 3
    step = "fleet.step.prefill=2"
    assert decided([(0, 0)], *inside, step, "policy.bounds=[{floor_nodes=7}]") == [(3, 2)]
    assert decided([(2400, 0)], *inside, step, "policy.bounds=[{floor_nodes=7}]") == [(5, 3)]


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    night = '[{days="fri", window="23:00-02:00", floor_nodes=12}]'
    assert bounded(night, datetime(2025, 2, 28, 0, tzinfo=UTC), 28) == [1] * 23 + [4] * 3 + [1] * 2


def test_a_floor_counts_in_every_interval_it_touches_and_a_ceiling_in_those_inside_it() -> None:
    at = datetime(2025, 2, 28, 8, tzinfo=UTC)
    assert bounded('[{window="08:30-10:30", floor_nodes=6}]', at, 4) == [2, 2, 2, 1]
    assert bounded('[{window="08:30-10:30", ceiling_nodes=6}]', at, 4, load=3.5) == [4, 2, 4, 4]


def test_the_highest_floor_and_the_lowest_ceiling_count_and_floors_go_first() -> None:
    at = datetime(2025, 2, 28, tzinfo=UTC)
    assert bounded("[{floor_nodes=6}, {floor_nodes=9}]", at, 1) == [3]
    assert bounded("[{ceiling_nodes=6}, {ceiling_nodes=9}]", at, 1, load=3.5) == [2]
    assert bounded("[{ceiling_nodes=6}, {floor_nodes=9}]", at, 1, load=3.5) == [3]


def test_a_holiday_follows_another_days_bounds() -> None:
    bounds = '[{days="mon-fri", floor_nodes=12}, {days="sun", ceiling_nodes=3}]'
    friday = datetime(2025, 2, 28, tzinfo=UTC)
    assert bounded(bounds, friday, 1) == [4]
    assert bounded(bounds, friday, 1, 'policy.holidays=[{day=2025-02-28, follows="sun"}]', load=3.5) == [1]


def test_bounds_in_whole_steps_and_the_policy_inside_are_said() -> None:
    scenario = small_scenario("policy.name=scheduled-bounds", "policy.bounds=[{floor_nodes=4, ceiling_nodes=7}]")
    assert policy_for(scenario, []).notes == (
        "the policy reactive decides inside the bounds",
        "floor of 4 nodes, mon-sun 00:00-24:00, is 6 in whole scaling steps",
        "ceiling of 7 nodes, mon-sun 00:00-24:00, is 6 in whole scaling steps",
    )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("policy.bounds=[]", "policy.bounds is empty; set for example"),
        ("policy.inside=scheduled-bounds", "policy.inside is scheduled-bounds itself"),
    ],
)
def test_bounds_that_bound_nothing_are_refused(setting: str, message: str) -> None:
    scenario = small_scenario("policy.name=scheduled-bounds", setting)
    with pytest.raises(UsageError, match=message):
        policy_for(scenario, [])


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ('[{days="mon-fry"}]', 'bounds.0.days.*"mon-fry" is not a list of weekdays; write for example mon-fri'),
        ('[{window="9-17"}]', '"9-17" is not a daily window'),
        ("[{floor_nodes=9, ceiling_nodes=3}]", "floor_nodes is 9 and ceiling_nodes is 3; swap or correct them"),
        ("mon-fri 278", '"mon-fri 278" is not a TOML list of tables; write for example'),
        ("[{flor_nodes=9}]", "bounds.0.flor_nodes: is not a known field"),
    ],
)
def test_bounds_that_make_no_sense_are_refused_in_one_line(bounds: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        small_scenario(f"policy.bounds={bounds}")


def test_a_holiday_follows_a_weekday() -> None:
    with pytest.raises(ScenarioError, match='"easter" is not a weekday; write one of mon, tue'):
        small_scenario('policy.holidays=[{day=2025-04-20, follows="easter"}]')


def test_weekdays_are_ranges_and_names_and_a_range_may_run_over_sunday() -> None:
    assert parse_days("mon-fri") == {0, 1, 2, 3, 4}
    assert parse_days("Sat, sun") == {5, 6}
    assert parse_days("sat-mon,wed") == {5, 6, 0, 2}
    assert parse_days("mon-sun") == set(range(7))


# slo; latencies are met at half use


def test_slo_takes_the_fewest_steps_that_meet_the_latencies() -> None:
    assert steps([0.4, 0.6, 1.1, 2.5], "policy.name=slo") == [1, 2, 3, 4]
    assert steps([0.1], "policy.name=slo", "policy.floor_nodes=6") == [2]
    assert steps([0.1, 0.1], "policy.name=slo", "policy.demand_source=previous") == [4, 1]


def test_slo_carries_the_demand_even_where_latencies_would_be_met() -> None:
    scenario = small_scenario("policy.name=slo")
    policy = make_policy(scenario.policy, Deployment(scenario.fleet), PolicyInputs(meets=lambda *_: True))
    assert policy.decide(tick(MIDNIGHT, Seen(1300, 0))) == Units(3, 3)


# what every policy has to hold

LOADS = st.lists(st.floats(0, 5), min_size=3, max_size=12)


@pytest.mark.parametrize("name", [name for name in FILELESS if name != "oracle"])
@given(LOADS, LOADS, st.integers(0, 11))
def test_what_is_decided_does_not_depend_on_demand_that_cannot_be_seen(
    name: str, loads: list[float], others: list[float], at: int
) -> None:
    at = min(at, len(loads) - 1)
    changed = (loads[:at] + others)[: len(loads)] + loads[at + len(others) :]
    rules = ("policy.min_up_s=120", "policy.ramp_nodes=6", "policy.survivor_utilisation=0.9")
    settings_ = (f"policy.name={name}", "policy.demand_source=previous", "policy.bounds=[{floor_nodes=6}]", *rules)
    # what is decided at an interval rests on the intervals before it
    assert steps(loads, *settings_)[: at + 1] == steps(changed, *settings_)[: at + 1]


@pytest.mark.parametrize("name", FILELESS)
def test_a_policy_says_what_it_looks_at(name: str) -> None:
    policy = policy_for(small_scenario(f"policy.name={name}", "policy.bounds=[{floor_nodes=6}]"), [])
    expected = {
        "fixed": Sight.NOTHING,
        "reactive": Sight.OBSERVED,
        "scheduled-bounds": Sight.OBSERVED,
        "oracle": Sight.TRACE,
    }
    assert policy.sight == expected.get(name, Sight.SOURCE)
    assert policy.ahead is (policy.sight != Sight.OBSERVED)
    assert policy.name == name

"""Rules around policies: minimum times, ramp, survivors, spare units."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import ROLES, Units
from planner.core.policy import Policy, Seen, Sight, Tick, decide_all
from planner.core.policy.around import MinimumTimes, Ramp, SpareUnits, Survivors
from planner.core.replay.intervals.lifetimes import Timing, unit_lives
from planner.errors import UsageError
from tests.conftest import small_scenario
from tests.helpers.policies import MIDNIGHT, policy_for, steps

DEPLOYMENT = Deployment(small_scenario().fleet)
LADDER = st.lists(st.integers(1, 4), min_size=1, max_size=30)
ANY = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=30)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Wants given units one after the other, whatever it sees."""

    units: tuple[Units, ...]
    name: str = "wish"
    ahead: bool = True
    sight: Sight = Sight.NOTHING
    lead_s: int = 0
    notes: tuple[str, ...] = ()

    def decide(self, tick: Tick) -> Units:
        return self.units[len(tick.past)]


def wish(wanted: list[int] | list[tuple[int, int]]) -> Wish:
    return Wish(units=tuple(Units(each, each) if isinstance(each, int) else Units(*each) for each in wanted))


def decided(policy: Policy, count: int, loads: list[float] | None = None) -> list[Units]:
    """Targets minute by minute; loads: in steps of the small fleet, observed an interval later."""
    seen = [Seen(600 * load, 600 * load) for load in loads or [0.0] * count]
    starts = [MIDNIGHT + timedelta(minutes=index) for index in range(count)]
    return decide_all(policy, starts, 60, [None, *seen[:-1]], [()] * count)


def levels(policy: Policy, count: int, loads: list[float] | None = None) -> list[int]:
    return [units.decode for units in decided(policy, count, loads)]


def test_units_that_joined_stay_for_the_minimum_time() -> None:
    assert levels(MinimumTimes(wish([1, 3, 1, 1, 1, 1]), 180, 0), 6) == [1, 3, 3, 3, 1, 1]
    assert levels(MinimumTimes(wish([3, 1, 1]), 180, 0), 3) == [3, 1, 1]


def test_units_that_left_stay_away_for_the_minimum_time() -> None:
    assert levels(MinimumTimes(wish([3, 1, 3, 3, 3]), 0, 120), 5) == [3, 1, 1, 3, 3]


def test_minimum_times_are_kept_role_by_role() -> None:
    held = decided(MinimumTimes(wish([(1, 1), (3, 1), (1, 3), (1, 1)]), 120, 0), 4)
    assert held == [Units(1, 1), Units(3, 1), Units(3, 3), Units(1, 3)]


@given(ANY, st.integers(0, 400), st.integers(0, 400))
def test_no_unit_leaves_or_comes_back_too_early(wanted: list[tuple[int, int]], up_s: int, down_s: int) -> None:
    held = decided(MinimumTimes(wish(wanted), up_s, down_s), len(wanted))
    lives = unit_lives(held, DEPLOYMENT, Timing(60, 10, 5, ahead=True)).lives
    end_s = 60 * len(held)
    for life in lives:
        if life.joined_s > 0 and life.left_s < end_s:
            assert life.left_s - life.joined_s >= up_s
    for role in ROLES:
        count = [getattr(units, role) for units in held]
        left = [index for index in range(1, len(count)) if count[index] < count[index - 1]]
        joined = [index for index in range(1, len(count)) if count[index] > count[index - 1]]
        assert all(60 * (later - before) >= down_s for before in left for later in joined if later > before)


def test_a_ramp_goes_in_whole_steps() -> None:
    ramp = Ramp.of(wish([1, 4, 4, 4, 1, 1]), 7, DEPLOYMENT)
    assert levels(ramp, 6) == [1, 3, 4, 4, 2, 1]


@given(ANY, st.integers(3, 12))
def test_no_more_nodes_join_or_leave_at_once_than_the_ramp_has(wanted: list[tuple[int, int]], nodes: int) -> None:
    held = decided(Ramp.of(wish(wanted), nodes, DEPLOYMENT), len(wanted))
    for one, other in pairwise(held):
        assert abs(DEPLOYMENT.nodes(one) - DEPLOYMENT.nodes(other)) <= nodes


def test_a_ramp_under_a_step_is_refused() -> None:
    with pytest.raises(UsageError, match="ramp_nodes is 2 and a scaling step has 3 nodes"):
        policy_for(small_scenario("policy.ramp_nodes=2"), [])


def test_those_that_stay_carry_what_was_observed() -> None:
    # loads of 2.5 and 0.5 steps; the wish would leave one step with what three had to carry
    survivors = Survivors(wish([3, 1, 1]), DEPLOYMENT, 1.0)
    assert levels(survivors, 3, [2.5, 0.5, 0.5]) == [3, 3, 1]
    assert levels(Survivors(wish([4, 1, 1]), DEPLOYMENT, 0.5), 3, [1.0, 0.5, 0.5]) == [4, 2, 1]


def test_those_that_stay_carry_what_is_seen_to_come() -> None:
    survivors = Survivors(wish([3, 1]), DEPLOYMENT, 1.0)
    coming = (Seen(1100.0, 0.0),)
    assert survivors.decide(
        Tick(start=MIDNIGHT, interval_s=60, observed=Seen(0.0, 0.0), coming=coming, past=(Units(3, 3),))
    ) == Units(2, 2)


def test_survivors_never_add_units_and_never_keep_more_than_there_were() -> None:
    assert levels(Survivors(wish([1, 2, 1]), DEPLOYMENT, 1.0), 3, [4, 4, 4]) == [1, 2, 2]


def test_what_is_known_at_the_boundary_drains_after_it() -> None:
    survivors = Survivors(wish([1]), DEPLOYMENT, 1.0)
    assert (survivors.ahead, survivors.sight, survivors.name) == (False, Sight.OBSERVED, "wish")
    assert MinimumTimes(wish([1]), 1, 1).ahead


@given(LADDER, st.lists(st.floats(0, 5), min_size=30, max_size=30), st.floats(0.3, 1.0))
def test_after_units_left_the_rest_carries_the_observed_load(
    wanted: list[int], loads: list[float], utilisation: float
) -> None:
    held = decided(Survivors(wish(wanted), DEPLOYMENT, utilisation), len(wanted), loads[: len(wanted)])
    for index, (one, other) in enumerate(pairwise(held)):
        if other < one:
            assert DEPLOYMENT.covers(other, 600 * loads[index], 600 * loads[index], 60 * utilisation)


def test_spare_units_are_on_top_and_the_policy_scales_in_the_rest() -> None:
    # of 12 nodes one decode unit is spare: three steps of three nodes are left
    demand = ["policy.name=predictive", "policy.spare_decode_units=1"]
    assert steps([0.5, 2, 2, 9], *demand) == [3, 3, 4, 4]


def test_a_reactive_policy_does_not_take_spare_units_for_its_own() -> None:
    spare = ("policy.name=reactive", "policy.spare_decode_units=1", "policy.spare_prefill_units=1")
    assert steps([1.5] * 4, *spare, "policy.down_cooldown_s=0") == [4, 3, 3, 3]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=15), st.integers(0, 2), st.integers(0, 3))
def test_what_is_needed_is_there_when_spare_units_fail(loads: list[float], prefill: int, decode: int) -> None:
    scenario = small_scenario("fleet.nodes=24")
    settings = scenario.policy.model_copy(
        update={"name": "predictive", "spare_prefill_units": prefill, "spare_decode_units": decode}
    )
    scenario = scenario.model_copy(update={"policy": settings})
    policy, deployment = policy_for(scenario, []), Deployment(scenario.fleet)
    for load in loads:
        units = policy.decide(
            Tick(start=MIDNIGHT, interval_s=60, observed=None, coming=(Seen(600 * load, 600 * load),), past=())
        )
        assert deployment.nodes(units) <= 24
        assert deployment.covers(Units(units.prefill - prefill, units.decode - decode), 600 * load, 600 * load, 60)


def test_spare_units_leave_the_base_its_nodes() -> None:
    with pytest.raises(UsageError, match=r"spare units take 10 of 12 nodes and the base units need 3; lower"):
        policy_for(small_scenario("policy.spare_decode_units=5"), [])


@given(
    LADDER,
    st.lists(st.floats(0, 5), min_size=30, max_size=30),
    st.integers(0, 300),
    st.integers(0, 300),
    st.sampled_from([3, 6, 9]),
    st.floats(0.3, 1.0),
)
def test_on_whole_steps_the_order_of_rules_does_not_matter(
    wanted: list[int], loads: list[float], up_s: int, down_s: int, nodes: int, utilisation: float
) -> None:
    rules = (
        lambda inner: MinimumTimes(inner, up_s, down_s),
        lambda inner: Ramp.of(inner, nodes, DEPLOYMENT),
        lambda inner: Survivors(inner, DEPLOYMENT, utilisation),
    )
    found = set()
    for order in permutations(rules):
        policy: Policy = wish(wanted)
        for rule in order:
            policy = rule(policy)
        found.add(tuple(decided(policy, len(wanted), loads[: len(wanted)])))
    assert len(found) == 1


@given(ANY, st.integers(0, 300), st.integers(0, 300), st.sampled_from([3, 6]))
def test_spare_units_may_be_added_before_or_after_times_and_ramp(
    wanted: list[tuple[int, int]], up_s: int, down_s: int, nodes: int
) -> None:
    spare = Units(1, 2)
    inside = SpareUnits(MinimumTimes(Ramp.of(wish(wanted), nodes, DEPLOYMENT), up_s, down_s), spare)
    outside = MinimumTimes(Ramp.of(SpareUnits(wish(wanted), spare), nodes, DEPLOYMENT), up_s, down_s)
    assert decided(inside, len(wanted)) == decided(outside, len(wanted))


def test_the_settings_put_the_rules_around_a_policy() -> None:
    policy = policy_for(
        small_scenario(
            "policy.survivor_utilisation=0.9",
            "policy.min_up_s=60",
            "policy.ramp_nodes=3",
            "policy.spare_prefill_units=1",
        ),
        [],
    )
    found = []
    while hasattr(policy, "inner"):
        found.append(type(policy))
        policy = policy.inner
    assert found == [SpareUnits, Ramp, MinimumTimes, Survivors]

"""The bound: no schedule that the replay accepts is worth less, and where it says optimal, one is worth as much."""

import itertools
import math
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner.core.demand import Demand, Grid
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.optimum import Objective, Optimum, Problem, optimise
from planner.core.optimum.program import Program, phases
from planner.core.optimum.schedules import keeps_times, repair, starting_schedules
from planner.core.optimum.solver import relaxation
from planner.core.policy import Seen
from tests.conftest import small_scenario
from tests.helpers.policies import policy_for, targets_of

INTERVAL_S = 60


def problem(
    asked: list[tuple[int, int]],
    *overrides: str,
    floor: tuple[int, int] = (1, 1),
    allowance: float = 0.0,
    value_ratio: float = 1.0,
) -> Problem:
    """The small fleet: prefill units of 1 node carry 600 tokens a minute, decode units of 2 nodes as many."""
    scenario = small_scenario("policy.floor_nodes=0", *overrides)
    inputs, outputs = (np.array([pair[role] for pair in asked], np.int64) for role in (0, 1))
    demand = Demand(
        grid=Grid(0, INTERVAL_S, len(asked)),
        requests=np.ones_like(inputs),
        input_tokens=inputs,
        cached_input_tokens=np.zeros_like(inputs),
        output_tokens=outputs,
    )
    return Problem(
        demand=demand,
        deployment=Deployment(scenario.fleet),
        training=scenario.training,
        floor=Units(*floor),
        max_shortfall_ratio=allowance,
        node_hour_micros=3_600_000,
        training_value_ratio=value_ratio,
    )


def best(found: Problem, objective: Objective = "node-hours") -> Optimum:
    return optimise(found, objective, time_limit_s=10, clock=time.perf_counter)


def combinations(found: Problem) -> list[Units]:
    """Every target that the fleet can hold."""
    floor = found.floor
    every = itertools.product(range(floor.prefill, found.nodes + 1), range(floor.decode, found.nodes // 2 + 1))
    return [Units(*pair) for pair in every if found.deployment.nodes(Units(*pair)) <= found.nodes]


def brute_force(found: Problem, objective: Objective, *, ahead: bool) -> float:
    """The least value over every schedule, each of them replayed; infinite if none is within the allowance."""
    least = math.inf
    for targets in itertools.product(combinations(found), repeat=found.count):
        plan = found.replay(targets, ahead=ahead)
        if int(plan.shortfall_tokens.sum()) <= found.allowed_tokens:
            least = min(least, found.in_units(found.value(plan, objective), objective))
    return least


def dynamic_program(found: Problem, objective: Objective) -> float:
    """The same for targets known ahead, from the rules alone: states are two targets, with every (value, short) that no
    other beats. For start-up + drain within an interval, restores within one, and training that takes every node."""
    fleet, choices = found.deployment.settings, combinations(found)
    start_s, drain_s, restore_s = fleet.start_up_s, fleet.drain_deadline_s, found.training.restore_s

    def short(index: int, before: Units, now: Units, after: Units) -> int:
        missing = 0
        for name, asked in (("prefill", found.demand.input_tokens), ("decode", found.demand.output_tokens)):
            unit = getattr(fleet, name)
            one, two, three = (getattr(units, name) for units in (before, now, after))
            unit_s = two * INTERVAL_S - start_s * max(two - one, 0) - drain_s * max(two - three, 0)
            missing += max(int(asked[index]) - math.floor(unit_s * unit.nodes * unit.tokens_per_s_per_node), 0)
        return missing

    def value(before: Units, now: Units) -> float:
        nodes, earlier = found.deployment.nodes(now), found.deployment.nodes(before)
        if objective == "node-hours":
            return nodes * INTERVAL_S
        useful = (found.nodes - nodes) * INTERVAL_S - restore_s * max(earlier - nodes, 0)
        return nodes * INTERVAL_S - found.training_value_ratio * useful

    fronts = {(first, first): [(0.0, 0)] for first in choices}
    for index in range(found.count):
        further: dict[tuple[Units, Units], list[tuple[float, int]]] = {}
        for (before, now), front in fronts.items():
            for after in choices if index + 1 < found.count else [now]:
                cost, missing = value(before, now), short(index, before, now, after)
                reached = [(one + cost, two + missing) for one, two in front if two + missing <= found.allowed_tokens]
                further.setdefault((now, after), []).extend(reached)
        fronts = {state: list(unbeaten(front)) for state, front in further.items()}
    least = min((cost for front in fronts.values() for cost, _ in front), default=math.inf)
    return found.in_units(least, objective)


def unbeaten(front: list[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    least = math.inf
    for cost, missing in sorted(front):
        if missing < least:
            least = missing
            yield cost, missing


def random_problem(rng: random.Random, *, exact: bool, longest: int = 3) -> Problem:
    """A fleet of 4 to 6 nodes and a few minutes. exact: start-up and drain are within an interval."""
    nodes = rng.choice([4, 5, 5, 6])
    start_s = rng.choice([0, 10, 20, 30] if exact else [0, 30, 60, 75, 130])
    drain_s = rng.choice([0, 5, 20, 30] if exact else [40, 60, 90, 150])
    return problem(
        [(rng.randint(0, 600 * (nodes - 2)), rng.randint(0, 1100)) for _ in range(rng.randint(2, longest))],
        f"fleet.nodes={nodes}",
        f"fleet.start_up_s={start_s}",
        f"fleet.drain_deadline_s={drain_s}",
        f"training.restore_s={rng.choice([0, 20, 50])}",
        allowance=rng.choice([0.0, 0.02, 0.1, 0.25]),
        value_ratio=rng.choice([1.0, 0.5, 0.0]),
    )


def test_program_dynamic_program_and_brute_force_agree() -> None:
    rng = random.Random(1)
    proven = {True: 0, False: 0}
    for case in range(200):
        found, objective = random_problem(rng, exact=True), rng.choice(["node-hours", "cost"])
        early, late = (brute_force(found, objective, ahead=ahead) for ahead in (True, False))
        assert early == pytest.approx(dynamic_program(found, objective), abs=1e-9), case
        optimum = best(found, objective)
        if math.isinf(early) and math.isinf(late):
            assert optimum.schedule is None
            continue
        assert optimum.bound <= min(early, late) + 1e-6, case
        assert optimum.classes[0].bound == pytest.approx(early, abs=1e-5), case
        if math.isfinite(early):
            assert optimum.timetable is not None
            assert optimum.timetable.value == pytest.approx(early, abs=1e-9), case
        proven[optimum.status == "optimal"] += 1
        if optimum.status == "optimal":
            assert optimum.schedule.value == pytest.approx(min(early, late), abs=1e-9), case
    # the rest are fleets so full that late units wait for one another, which the program grants too freely
    assert proven[True] > 8 * proven[False]


def test_the_bound_holds_where_starting_and_draining_take_longer_than_an_interval() -> None:
    rng = random.Random(2)
    for case in range(60):
        found, objective = random_problem(rng, exact=False), rng.choice(["node-hours", "cost"])
        least = min(brute_force(found, objective, ahead=ahead) for ahead in (True, False))
        optimum = best(found, objective)
        if optimum.status == "infeasible":
            assert math.isinf(least), case
        else:
            assert optimum.bound <= least + 1e-6, case
        if optimum.schedule is not None:
            assert optimum.schedule.value >= least - 1e-9, case


@pytest.mark.parametrize("override", ["training.max_nodes=1", "training.min_window_s=100", "training.lend=false"])
def test_the_bound_on_cost_holds_with_limits_on_training(override: str) -> None:
    rng = random.Random(3)
    for case in range(12):
        found = random_problem(rng, exact=True)
        training = small_scenario(override, f"training.restore_s={found.training.restore_s}").training
        found = replace(found, training=training)
        least = min(brute_force(found, "cost", ahead=ahead) for ahead in (True, False))
        optimum = best(found, "cost")
        assert optimum.bound is None or optimum.bound <= least + 1e-6, case


def test_longer_plans_agree_with_the_dynamic_program() -> None:
    rng = random.Random(4)
    for case in range(25):
        found, objective = random_problem(rng, exact=True, longest=9), rng.choice(["node-hours", "cost"])
        least, optimum = dynamic_program(found, objective), best(found, objective)
        assert optimum.classes[0].bound == pytest.approx(least, abs=1e-5), case
        if math.isfinite(least):
            assert optimum.timetable is not None
            assert optimum.timetable.value == pytest.approx(least, abs=1e-9), case


APART = ("fleet.scaling=independent", "policy.night_bundle=false")


def test_no_schedule_of_each_roles_own_steps_is_under_the_bound() -> None:
    rng = random.Random(7)
    for case in range(30):
        found = random_problem(rng, exact=True)
        steps = (f"fleet.step.prefill={rng.randint(0, 2)}", "fleet.step.decode=1", f"fleet.nodes={found.nodes}")
        apart = Deployment(small_scenario(*APART, *steps).fleet)
        ladders = (apart.roles[role].ladder[: found.nodes] for role in ("prefill", "decode"))
        every = [Units(one.prefill, other.decode) for one, other in itertools.product(*ladders)]
        reached = [units for units in every if apart.nodes(units) <= found.nodes]
        least = math.inf
        for targets in itertools.product(reached, repeat=found.count):
            for ahead in (True, False):
                plan = found.replay(targets, ahead=ahead)
                if int(plan.shortfall_tokens.sum()) <= found.allowed_tokens:
                    least = min(least, found.in_units(found.value(plan, "node-hours"), "node-hours"))
        optimum = best(found)
        assert optimum.bound is None or optimum.bound <= least + 1e-6, case


@pytest.mark.parametrize("name", ["reactive", "predictive", "slo", "night-training", "oracle"])
@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 2400)), min_size=2, max_size=6))
def test_every_policy_whose_roles_scale_apart_is_above_the_bound(name: str, asked: list[tuple[int, int]]) -> None:
    chosen = (f"policy.name={name}", *APART)
    found = problem(asked, *chosen, allowance=0.25)
    policy = policy_for(small_scenario(*chosen), [Seen(*pair) for pair in asked])
    plan = found.replay(targets_of(asked, *chosen), ahead=policy.ahead)
    assume(int(plan.shortfall_tokens.sum()) <= found.allowed_tokens)
    bound = best(found).bound
    assert bound is not None
    assert bound <= found.in_units(found.value(plan, "node-hours"), "node-hours") + 1e-9


def test_a_minute_by_hand() -> None:
    # 700 input tokens take two prefill units, 500 output tokens one decode unit: four nodes in the second minute
    optimum = best(problem([(600, 500), (700, 500), (100, 500)], "fleet.start_up_s=0", "fleet.drain_deadline_s=0"))
    assert optimum.status == "optimal"
    assert [(units.prefill, units.decode) for units in optimum.schedule.targets] == [(1, 1), (2, 1), (1, 1)]
    assert optimum.bound == pytest.approx(10 / 60)


def test_the_allowance_is_used() -> None:
    # 100 of 3,000 tokens are beyond one unit
    asked = [(600, 500), (700, 500), (200, 500)]
    assert best(problem(asked, allowance=0.04)).bound == pytest.approx(9 / 60)
    assert best(problem(asked, allowance=0.03)).bound > 9 / 60


def test_late_drains_can_be_the_cheaper_ones() -> None:
    # full to the last token until the boundary: ahead, a drain would cost a second unit more for a whole minute
    optimum = best(problem([(1200, 100), (600, 100)], "fleet.drain_deadline_s=20"))
    assert optimum.status == "optimal"
    assert optimum.schedule.ahead is False
    assert optimum.bound == pytest.approx((4 * 60 + 3 * 60 + 20) / 3600)
    assert optimum.timetable is not None
    assert optimum.timetable.value == pytest.approx(8 / 60)


def test_restoring_makes_short_windows_worthless() -> None:
    # one minute with a unit less would free a node for less time than its job takes to load
    asked = [(1200, 100), (600, 100), (1200, 100)]
    quick, slow = (
        best(problem(asked, "fleet.start_up_s=0", "fleet.drain_deadline_s=0", f"training.restore_s={seconds}"), "cost")
        for seconds in (0, 60)
    )
    assert quick.bound == pytest.approx(slow.bound - 60 / 3600 * 3.6, abs=1e-6)


def test_an_infeasible_demand_names_the_interval_the_role_and_the_nodes_it_takes() -> None:
    optimum = best(problem([(100, 100), (300, 5000), (100, 100)]))
    assert optimum.status == "infeasible"
    assert optimum.bound is None
    assert optimum.gap is None
    # eleven nodes beside the one of prefill form five decode units of 600 tokens
    assert "most at 1, where decode units lack 2,000 output tokens" in str(optimum.cure)
    assert "fleet.nodes: 19 nodes carry the busiest interval" in str(optimum.cure)


def test_demand_that_only_fractions_of_units_carry_is_infeasible_too() -> None:
    optimum = best(problem([(700, 700)], "fleet.nodes=5"))
    assert optimum.status == "infeasible"
    assert "fleet.nodes: 6 nodes carry the busiest interval" in str(optimum.cure)


def test_without_demand_the_floor_is_enough() -> None:
    optimum = best(problem([(0, 0)] * 4, floor=(2, 1)))
    assert optimum.status == "optimal"
    assert optimum.bound == pytest.approx(16 / 60)


def test_without_time_the_relaxation_still_bounds() -> None:
    rng = random.Random(5)
    found = problem([(rng.randint(0, 3000), rng.randint(0, 2400)) for _ in range(40)], allowance=0.03)
    optimum = optimise(found, "node-hours", time_limit_s=0, clock=time.perf_counter)
    assert optimum.bound >= optimum.lp_bound > 0
    assert optimum.schedule is not None
    assert optimum.gap is not None
    assert optimum.gap >= 0
    assert optimum.status in ("optimal", "feasible (time limit)")


def test_minimum_times_and_the_cost_of_starts_agree_with_brute_force() -> None:
    rng = random.Random(6)
    for case in range(30):
        found = replace(
            random_problem(rng, exact=True, longest=4),
            min_up_s=rng.choice([0, 120, 180]),
            min_down_s=rng.choice([0, 120]),
            start_usd=rng.choice([0.0, 0.05]),
        )
        if len(combinations(found)) > 4:
            continue
        least = math.inf
        for targets in itertools.product(combinations(found), repeat=found.count):
            plan = found.replay(targets, ahead=True)
            missing = int(plan.shortfall_tokens.sum())
            if missing <= found.allowed_tokens and stays(found, targets):
                least = min(least, found.in_units(found.value(plan, "cost"), "cost"))
                assert keeps_times(found, targets)
        assert best(found, "cost").classes[0].bound == pytest.approx(least, abs=1e-5), case


def stays(found: Problem, targets: tuple[Units, ...]) -> bool:
    """Whether single units, the oldest leaving and the longest absent coming first, keep the minimum times."""
    for role in found.roles:
        held = [getattr(units, role.name) for units in targets]
        up = [-(10**6)] * held[0]
        down = [-(10**6)] * (found.nodes // role.nodes - held[0])
        for index, (one, two) in enumerate(itertools.pairwise(held), 1):
            at_s = index * INTERVAL_S
            for _ in range(one - two):
                if at_s - up.pop(0) < found.min_up_s:
                    return False
                down.append(at_s)
            for _ in range(two - one):
                if at_s - down.pop(0) < found.min_down_s:
                    return False
                up.append(at_s)
    return True


HALF_HOUR = problem(
    [(int(900 + 700 * math.sin(t / 4)), int(1000 + 800 * math.sin(t / 4 + 1))) for t in range(30)], allowance=0.02
)


@cache
def starts_of_the_half_hour() -> list[list[Units]]:
    return [list(schedule) for schedule in starting_schedules(HALF_HOUR)]


@cache
def least_of_the_half_hour(objective: Objective) -> float:
    bound = best(HALF_HOUR, objective).bound
    assert bound is not None
    return bound


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.integers(-1, 2), st.integers(-1, 1)), min_size=30, max_size=30),
    st.integers(0, 4),
    st.booleans(),
)
def test_no_random_schedule_that_the_replay_accepts_is_under_the_bound(
    changes: list[tuple[int, int]], base: int, ahead: bool
) -> None:
    start = starts_of_the_half_hour()[base % 3]
    targets = [
        Units(max(units.prefill + prefill, 1), max(units.decode + decode, 1))
        for units, (prefill, decode) in zip(start, changes, strict=True)
    ]
    assume(all(HALF_HOUR.deployment.nodes(units) <= HALF_HOUR.nodes for units in targets))
    held = repair(HALF_HOUR, targets, ahead=ahead)
    assume(held is not None)
    plan = HALF_HOUR.replay(held, ahead=ahead)
    assert int(plan.shortfall_tokens.sum()) <= HALF_HOUR.allowed_tokens
    for objective in get_args(Objective):
        value = HALF_HOUR.in_units(HALF_HOUR.value(plan, objective), objective)
        assert value >= least_of_the_half_hour(objective)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), min_size=2, max_size=8),
    st.integers(0, 200),
    st.integers(0, 200),
    st.booleans(),
)
def test_a_replayed_schedule_is_a_solution_of_its_program_and_worth_no_less(
    chosen: list[tuple[int, int]], start_s: int, drain_s: int, ahead: bool
) -> None:
    found = problem([(2100, 1300)] * len(chosen), f"fleet.start_up_s={start_s}", f"fleet.drain_deadline_s={drain_s}")
    solves(found, [Units(*pair) for pair in chosen], ahead=ahead)


@given(
    st.lists(
        st.tuples(st.tuples(st.integers(0, 6), st.integers(0, 3)), st.sampled_from([(0, 0), (0, 0), (2100, 1300)])),
        min_size=2,
        max_size=8,
    ),
    st.tuples(st.integers(0, 80), st.integers(0, 80)),
    st.integers(0, 80),
    st.booleans(),
)
def test_so_is_one_that_sleeps_and_whose_units_start_warm(
    chosen: list[tuple[tuple[int, int], tuple[int, int]]], starts: tuple[int, int], drain_s: int, ahead: bool
) -> None:
    warm_s, start_s = sorted(starts)
    times = (f"fleet.start_up_s={start_s}", f"fleet.sleep_start_up_s={warm_s}", f"fleet.drain_deadline_s={drain_s}")
    none = ("fleet.base.prefill=0", "fleet.base.decode=0", "fleet.keeps=sleep")
    found = problem([asked for _, asked in chosen], *none, *times, floor=(0, 0))
    assume(found.tokens)
    solves(found, [Units(*pair) for pair, _ in chosen], ahead=ahead)


def solves(found: Problem, targets: list[Units], *, ahead: bool) -> None:
    """What the replay holds of targets is a solution of the program with as much shortfall, and worth no less."""
    plan = found.replay(targets, ahead=ahead)
    missing = int(plan.shortfall_tokens.sum())
    found = replace(found, max_shortfall_ratio=missing / found.tokens if missing else 0.0)
    program = Program(found, "node-hours", ahead=ahead)
    fleet = found.deployment.settings
    if fleet.start_up_s + fleet.drain_deadline_s <= INTERVAL_S:  # otherwise units that never serve are struck out
        program.keep(plan.units, range(0))
    solved = relaxation(program)
    assert solved is not None
    assert solved[0] * INTERVAL_S <= found.value(plan, "node-hours") + 1e-6


def test_covering_units_are_the_fewest_that_carry_the_demand_in_the_replays_arithmetic() -> None:
    found = problem([(0, 0), (600, 600), (601, 1200), (1199, 1201)])
    prefill, decode = found.roles
    assert prefill.covering(INTERVAL_S).tolist() == [1, 1, 2, 2]
    assert decode.covering(INTERVAL_S).tolist() == [1, 1, 2, 3]


def test_phases_are_the_parts_of_intervals_that_a_time_takes() -> None:
    assert phases(0, 60) == []
    assert phases(20, 60) == [(0, 20 / 60)]
    assert phases(60, 60) == [(0, 1.0)]
    assert phases(90, 60) == [(0, 0.5), (1, 0.5)]

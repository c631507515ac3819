"""The bound on units that do both: no schedule of single units, packed as the replay packs them, is under it."""

import itertools
import math
import random
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner.core.demand import Demand, Grid
from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.optimum import Objective, Optimum, Problem, optimise
from planner.core.policy import Seen
from tests.helpers.aggregated import AGGREGATED, aggregated_scenario
from tests.helpers.policies import policy_for, targets_of

INTERVAL_S = 60
REGIONS = ("[[0,20],[10,10],[20,0]]", "[[5,20],[12,16],[25,4]]", "[[0,7.3],[11.1,0]]", "[[30,9]]")


def problem(
    asked: list[tuple[int, int]], *overrides: str, floor: int = 1, allowance: float = 0.0, value_ratio: float = 1.0
) -> Problem:
    scenario = aggregated_scenario(*overrides)
    inputs, outputs = (np.array([pair[kind] for pair in asked], np.int64) for kind in (0, 1))
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
        floor=Units(aggregated=floor),
        max_shortfall_ratio=allowance,
        node_hour_micros=3_600_000,
        training_value_ratio=value_ratio,
    )


def best(found: Problem, objective: Objective = "node-hours") -> Optimum:
    return optimise(found, objective, time_limit_s=10, clock=time.perf_counter)


def brute_force(found: Problem, objective: Objective, *, ahead: bool) -> float:
    """The least value over every schedule of single units, each of them replayed; infinite if none is allowed."""
    least = math.inf
    counted = range(found.floor.aggregated, found.deployment.most + 1)
    for counts in itertools.product(counted, repeat=found.count):
        plan = found.replay([Units(aggregated=count) for count in counts], ahead=ahead)
        if int(plan.shortfall_tokens.sum()) <= found.allowed_tokens:
            least = min(least, found.in_units(found.value(plan, objective), objective))
    return least


def random_problem(rng: random.Random, *, start_s: list[int], drain_s: list[int]) -> Problem:
    """A few minutes of one to three nodes that one, two or four units share, or units of two nodes."""
    size, nodes = rng.choice([(8, 4), (4, 3), (4, 2), (2, 2), (16, 6)])
    return problem(
        [(rng.randint(0, 2500), rng.randint(0, 2000)) for _ in range(rng.randint(2, 3))],
        f"fleet.unit.gpus={size}",
        f"fleet.unit.tokens_per_s={rng.choice(REGIONS)}",
        f"fleet.nodes={nodes}",
        f"fleet.start_up_s={rng.choice(start_s)}",
        f"fleet.drain_deadline_s={rng.choice(drain_s)}",
        f"training.restore_s={rng.choice([0, 20, 50])}",
        floor=rng.randint(1, 2),
        allowance=rng.choice([0.0, 0.02, 0.1, 0.25]),
        value_ratio=rng.choice([1.0, 0.5, 0.0]),
    )


@pytest.mark.parametrize("objective", ["node-hours", "cost"])
def test_the_bound_is_the_least_of_all_schedules_of_single_units(objective: Objective) -> None:
    rng = random.Random(11)
    proven = {True: 0, False: 0}
    for case in range(80):
        found = random_problem(rng, start_s=[0, 10, 20, 30], drain_s=[0, 5, 20, 30])
        early, late = (brute_force(found, objective, ahead=ahead) for ahead in (True, False))
        optimum = best(found, objective)
        if math.isinf(early) and math.isinf(late):
            assert optimum.schedule is None, case
            continue
        assert optimum.bound <= min(early, late) + 1e-6, case
        assert optimum.classes[0].bound == pytest.approx(early, abs=1e-5), case
        if math.isfinite(early):
            assert optimum.timetable is not None
            assert optimum.timetable.value == pytest.approx(early, abs=1e-9), case
        assert optimum.schedule is not None
        assert optimum.schedule.value >= min(early, late) - 1e-9, case
        # of a bound of 0 no share is left to be proven
        proven[optimum.schedule.value - optimum.bound < 1e-6] += 1
    assert proven[True] > 8 * proven[False]


@pytest.mark.parametrize("objective", ["node-hours", "cost"])
@pytest.mark.parametrize(("start_s", "drain_s"), [([40, 75, 130], [40, 60]), ([0, 30, 75], [90, 150])])
def test_the_bound_holds_where_starting_and_draining_take_longer_than_an_interval(
    objective: Objective, start_s: list[int], drain_s: list[int]
) -> None:
    rng = random.Random(12)
    for case in range(25):
        found = random_problem(rng, start_s=start_s, drain_s=drain_s)
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
    rng = random.Random(13)
    for case in range(12):
        found = random_problem(rng, start_s=[0, 10], drain_s=[0, 20])
        found = replace(found, training=aggregated_scenario(override, "training.restore_s=20").training)
        least = min(brute_force(found, "cost", ahead=ahead) for ahead in (True, False))
        optimum = best(found, "cost")
        assert optimum.bound is None or optimum.bound <= least + 1e-6, case


def test_the_bound_on_cost_holds_where_starts_cost() -> None:
    rng = random.Random(14)
    for case in range(25):
        found = random_problem(rng, start_s=[0, 10], drain_s=[0, 20, 90])
        found = replace(found, start_usd=rng.choice([0.001, 0.01, 1.0]))
        least = min(brute_force(found, "cost", ahead=ahead) for ahead in (True, False))
        optimum = best(found, "cost")
        assert optimum.bound is None or optimum.bound <= least + 1e-6, case


@pytest.mark.parametrize("name", ["fixed", "reactive", "predictive", "slo", "night-training", "oracle"])
@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 4000)), min_size=2, max_size=6))
def test_every_policy_is_above_the_bound(name: str, asked: list[tuple[int, int]]) -> None:
    chosen = (f"policy.name={name}", "policy.fixed_aggregated_units=7")
    found = problem(asked, *chosen, allowance=0.25)
    policy = policy_for(aggregated_scenario(*chosen), [Seen(*pair) for pair in asked])
    plan = found.replay(targets_of(asked, *AGGREGATED, *chosen), ahead=policy.ahead)
    assume(int(plan.shortfall_tokens.sum()) <= found.allowed_tokens)
    bound = best(found).bound
    assert bound is not None
    assert bound <= found.in_units(found.value(plan, "node-hours"), "node-hours") + 1e-9


def test_four_minutes_by_hand() -> None:
    # a unit carries 1,200 tokens a minute of any mix, a node two of them: 2,500 take a second node, and 2,400 none
    still = ("fleet.start_up_s=0", "fleet.drain_deadline_s=0")
    optimum = best(problem([(1200, 1200), (2000, 500), (400, 2000), (0, 100)], *still))
    assert optimum.status == "optimal"
    assert [units.aggregated for units in optimum.schedule.targets] == [2, 4, 2, 2]
    assert optimum.bound == pytest.approx(5 / 60)


def test_a_share_of_the_work_that_falls_short_is_that_share_of_both_kinds() -> None:
    # a node carries 2,400 of 2,500 tokens: 4 % of 2,000 input and of 500 output tokens fall short, 80 and 20
    still = ("fleet.start_up_s=0", "fleet.drain_deadline_s=0")
    asked = [(1200, 1200), (2000, 500), (400, 2000), (0, 100)]
    tight, wide = (best(problem(asked, *still, allowance=allowance)) for allowance in (99.5 / 7400, 100 / 7400))
    assert (tight.bound, wide.bound) == (pytest.approx(5 / 60), pytest.approx(4 / 60))
    plan = wide.schedule.plan
    assert plan.shortfall_input_tokens.tolist() == [0, 80, 0, 0]
    assert plan.shortfall_output_tokens.tolist() == [0, 20, 0, 0]


def test_a_shortfall_is_taken_where_a_second_of_a_unit_carries_the_fewest_tokens() -> None:
    # alone a unit reads 1,500 tokens a minute, or writes 600. Either minute lacks 1 % of a node's time: of prompts that
    # are 30 tokens, of answers 12, and 20 are allowed
    asked = [(3030, 0), (0, 1212)]
    region = ("fleet.unit.tokens_per_s=[[0,10],[25,0]]", "fleet.start_up_s=0", "fleet.drain_deadline_s=0")
    optimum = best(problem(asked, *region, allowance=20 / 4242))
    assert [units.aggregated for units in optimum.schedule.targets] == [4, 2]
    assert optimum.schedule.shortfall_tokens == 12


def test_what_no_fleet_can_carry_is_told_in_tokens() -> None:
    # eight units carry 9,600 tokens a minute
    optimum = best(problem([(100, 100), (10_000, 0)]))
    assert optimum.status == "infeasible"
    assert "most at 1, where units lack 400 tokens" in optimum.cure
    assert "5 nodes carry the busiest interval" in optimum.cure


def test_minimum_times_are_those_of_nodes() -> None:
    # two nodes, then one, again and again: twice within four minutes a node would start, and only one is there
    asked = [(1200, 0), (4800, 0), (1200, 0), (4800, 0), (1200, 0)]
    still = ("fleet.start_up_s=0", "fleet.drain_deadline_s=0")
    free = problem(asked, *still)
    assert best(free).bound == pytest.approx(7 / 60)
    assert best(replace(free, min_up_s=240)).bound == pytest.approx(8 / 60)

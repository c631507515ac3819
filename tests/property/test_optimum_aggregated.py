"""The bound on units that do both: no schedule of single units, packed on nodes as the replay packs them, is under it."""

import itertools
import math
import random
import time

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


def brute_force(found: Problem, objective: Objective, *, ahead: bool, whole_nodes: bool = False) -> float:
    """The least value over every schedule of single units, each of them replayed; infinite if none is allowed."""
    least = math.inf
    step = found.deployment.units_per_node if whole_nodes else 1
    first = -(-found.floor.aggregated // step) * step
    for counts in itertools.product(range(first, found.deployment.most + 1, step), repeat=found.count):
        plan = found.replay([Units(aggregated=count) for count in counts], ahead=ahead)
        if int(plan.shortfall_tokens.sum()) <= found.allowed_tokens:
            least = min(least, found.in_units(found.value(plan, objective), objective))
    return least


def random_problem(rng: random.Random, *, start_s: list[int], drain_s: list[int]) -> Problem:
    """A few minutes of one to three nodes that one, two or four units share, or units of two nodes."""
    size, nodes = rng.choice([("gpus=8", 4), ("gpus=4", 3), ("gpus=4", 2), ("gpus=2", 2), ("nodes=2", 6)])
    return problem(
        [(rng.randint(0, 2500), rng.randint(0, 2000)) for _ in range(rng.randint(2, 3))],
        f"fleet.unit.{size}" if size != "nodes=2" else "fleet.unit.gpus=16",
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
        proven[optimum.status == "optimal"] += 1
        if optimum.status == "optimal":
            assert optimum.schedule.value == pytest.approx(min(early, late), abs=1e-9), case
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

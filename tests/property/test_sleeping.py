"""Services that sleep, whatever is asked of them: what is conserved, what is never worse, and what is served."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.core.fleet.deployment import Deployment
from planner.core.fleet.units import Units
from planner.core.replay.intervals.lifetimes import Keeps, Life, Timing
from planner.core.replay.intervals.packing import packed_lives
from planner.core.replay.intervals.plan import IntervalPlan, replay_intervals
from tests.conftest import small_scenario
from tests.helpers.aggregated import UNITS
from tests.helpers.intervals import demand_of, node_s

KEEPS = st.sampled_from(["nothing", "sleep", "resident"])
TOKENS = st.tuples(st.sampled_from([0, 0, 1, 600, 1500]), st.sampled_from([0, 0, 1, 600, 1500]))
INTERVALS = st.lists(st.tuples(st.tuples(st.integers(0, 4), st.integers(0, 4)), TOKENS), min_size=1, max_size=12)
Asked = list[tuple[tuple[int, int], tuple[int, int]]]


def replayed(
    asked: Asked, *overrides: str, together: bool, ahead: bool = True, floor: bool = False, keeps: str = "nothing"
) -> IntervalPlan:
    """Targets and demand of two roles, or of units that do both; without a floor, or with one of a step."""
    base = ("fleet.base.prefill=0", "fleet.base.decode=0", "fleet.scaling=independent", "policy.floor_nodes=0")
    shape = (*UNITS, "fleet.base.aggregated=0", "training.lend=true") if together else base
    warm = (f"fleet.keeps={keeps}", "fleet.sleep_start_up_s=2", "fleet.resident_start_up_s=1")
    scenario = small_scenario(*shape, *warm, *overrides)
    targets = [Units(aggregated=sum(units)) if together else Units(*units) for units, _ in asked]
    least = (Units(aggregated=1) if together else Units(1, 1)) if floor else Units()
    demand = demand_of([tokens for _, tokens in asked])
    return replay_intervals(targets, demand, Deployment(scenario.fleet), scenario.training, ahead=ahead, floor=least)


@given(INTERVALS, st.booleans(), st.booleans(), KEEPS, st.integers(0, 150), st.integers(0, 150))
def test_node_seconds_of_the_six_states_always_sum_to_the_fleet(
    asked: Asked, together: bool, ahead: bool, keeps: str, start_s: int, drain_s: int
) -> None:
    times = (f"fleet.start_up_s={start_s}", f"fleet.drain_deadline_s={drain_s}")
    plan = replayed(asked, *times, together=together, ahead=ahead, keeps=keeps)
    states = node_s(plan)
    nodes = 4 if together else 12
    assert all(min(values) >= 0 for values in states.values())
    assert [sum(values) for values in zip(*states.values(), strict=True)] == [nodes * 60] * len(asked)
    assert (plan.inference_nodes + plan.training_nodes).max() <= nodes


@given(INTERVALS, st.booleans())
def test_sleeping_never_takes_more_node_hours_than_a_floor_of_one_step(asked: Asked, together: bool) -> None:
    sleeping = replayed(asked, together=together)
    awake = replayed(asked, together=together, floor=True)
    assert (sleeping.inference_node_s <= awake.inference_node_s).all()


@given(INTERVALS, st.booleans(), st.integers(0, 150))
def test_a_service_has_units_for_all_that_comes_and_sleeps_where_nothing_does(
    asked: Asked, together: bool, start_s: int
) -> None:
    plan = replayed(asked, f"fleet.start_up_s={start_s}", together=together)
    for role in ("aggregated",) if together else ("prefill", "decode"):
        held = getattr(plan, f"{role}_units")
        wanted = np.array([sum(units) if together else units[role == "decode"] for units, _ in asked])
        needs = np.array([sum(tokens) if together else tokens[role == "decode"] for _, tokens in asked]) > 0
        assert (held[needs] >= 1).all()
        assert (held >= np.minimum(wanted, 1)).all()
        for before, after in pairwise(range(len(asked))):
            if needs[before]:
                assert held[after] >= 1
        awake = 2 + start_s // 60
        for index in range(awake, len(asked)):
            if not needs[index + 1 - awake - 1 : index + 1].any():
                assert held[index] == wanted[index]


@given(INTERVALS, st.booleans(), st.booleans())
def test_weights_that_are_kept_never_make_a_plan_shorter_of_capacity(asked: Asked, together: bool, ahead: bool) -> None:
    cold, warm = (replayed(asked, together=together, ahead=ahead, keeps=keeps) for keeps in ("nothing", "sleep"))
    assert (warm.shortfall_input_tokens <= cold.shortfall_input_tokens).all()
    assert (warm.shortfall_output_tokens <= cold.shortfall_output_tokens).all()
    assert warm.inference_node_s.tolist() == cold.inference_node_s.tolist()


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=10),
    st.builds(Timing, st.just(6), st.integers(0, 15), st.integers(0, 15), st.booleans()),
    st.integers(0, 15),
)
@settings(max_examples=400)
def test_a_unit_is_warm_where_one_was_before_that_had_its_weights(
    counts: list[int], timing: Timing, warm_s: int
) -> None:
    keeps = Keeps(min(warm_s, timing.start_up_s), resident=False)
    by_place: dict[int, list[Life]] = {}
    for life in packed_lives(counts, timing, 14, keeps):
        for place in range(life.place, life.place + life.units):
            by_place.setdefault(place, []).append(life)
    for lives in by_place.values():
        kept = False
        for life in sorted(lives, key=lambda life: life.joined_s):
            assert life.warm == kept
            start_s = keeps.start_up_s if life.warm else timing.start_up_s
            # unless it serves from the beginning, or leaves while it loads
            assert life.ready_s in (0, life.joined_s + start_s, life.left_s)
            kept = kept or life.loaded

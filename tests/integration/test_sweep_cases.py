"""Cases of a sweep held against plans: each is the plan of its values."""

from dataclasses import replace
from datetime import UTC

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.scenarios import load_scenario
from planner.core.demand import Demand, Grid
from planner.core.load import LoadChange, with_hits
from planner.planning.decide import decide
from planner.planning.plan import plan_and_store
from planner.planning.prepare import ensure_trace, resolve
from planner.runs.read import read_run
from planner.store import Store
from planner.studies.sweep.base import CACHE_HIT, GPU_PRICE, NODES_DOWN, SweepBase
from planner.studies.sweep.case import SweepCase, run_case
from planner.studies.sweep.run import base_of, sweep
from planner.trace.synthetic.cells import log_noise
from tests.conftest import NOW, Cli
from tests.helpers.sweeps import FIGURES, KEPT, at, base_on, figures_of, four_minutes, plan_figures


def test_the_base_is_the_plan_of_the_scenario(planned: Store) -> None:
    base = base_on(planned)
    assert base.by_cells
    outcome = run_case(base, SweepCase(index=0, role="base", varied=None, policy="night-training", values={}, seed=1))
    assert figures_of(outcome) == plan_figures(planned)
    assert outcome.figures.cost_usd == 87_072.0
    assert outcome.slo_met


@pytest.mark.parametrize(
    "sets",
    [
        ("fleet.capacity=modelled", "policy.name=predictive", "training.lend=false"),
        ("trace.days=2", "trace.noise=0.08", "trace.growth_per_day=0.05", "interval_s=1800", "policy.name=reactive"),
        ("interval_s=300", "policy.demand_source=profile"),
    ],
)
def test_the_base_is_the_plan_of_any_scenario(planned: Store, sets: tuple[str, ...]) -> None:
    base = base_on(planned, *sets)
    assert base.by_cells is ("interval_s=300" not in sets)
    assert figures_of(at(base)) == plan_figures(planned, *sets)
    assert figures_of(at(base, **{CACHE_HIT: base.hit_ratio, NODES_DOWN: 0.0})) == figures_of(at(base))


def test_sampled_cases_are_the_plans_of_their_values(planned: Store) -> None:
    """Level, noise, seed and start-up; the plan draws a trace of its own and counts its rows."""
    found = sweep(planned, load_scenario().scenario, cases=3, vary=KEPT, now=NOW)
    samples = found.of("night-training", "sample")
    assert len({outcome.cost_usd_micros for outcome in samples}) == 3
    for outcome in samples[:2]:
        values = [f"{path}={value}" for path, value in outcome.case.values.items()]
        assert len(values) == 3
        assert figures_of(outcome) == plan_figures(planned, *values, f"trace.seed={outcome.case.seed}")


def test_a_policy_inside_a_case_sees_what_its_demand_source_tells(planned: Store) -> None:
    """The profile tells of the case's level, and of no noise."""
    sets = ("policy.demand_source=profile", "policy.name=predictive")
    (outcome,) = sweep(planned, load_scenario(None, sets).scenario, cases=2, vary=KEPT, now=NOW).outcomes[-1:]
    values = [f"{path}={value}" for path, value in outcome.case.values.items()]
    assert figures_of(outcome) == plan_figures(planned, *sets, *values, f"trace.seed={outcome.case.seed}")


def test_an_imported_trace_is_taken_times_level(cli: Cli, store: Store) -> None:
    scenario = four_minutes(cli)
    store = Store("planner.duckdb")
    trace = ensure_trace(store, scenario, now=NOW)
    base, notes = base_of(store, scenario, trace, ("night-training",))
    assert not base.by_cells
    assert any("latencies are not modelled: " in note for note in notes)
    assert any("the stored demand of every interval times level and noise" in note for note in notes)
    plan_and_store(store, scenario, now=NOW)
    with store.read() as session:
        summary = read_run(session).summary
    assert figures_of(at(base)) == {name: getattr(summary, name) for name in FIGURES}
    # twice as much: 1200, 1400, 200, 4000 input and 200, 2500, 200, 0 output against 2400 of the full fleet in a minute
    double = at(base, trace__demand_factor=2.0)
    assert double.demanded_tokens == 2 * at(base).demanded_tokens == 2 * 4850
    assert double.shortfall_tokens == (4000 - 2400) + (2500 - 2400) + start_up_shortfall(base)
    assert double.latency_met_requests is None


def start_up_shortfall(base: SweepBase) -> int:
    """Demand doubled: what the plan of the doubled trace lacks while units load."""
    doubled = replace(
        base.demand,
        input_tokens=2 * base.demand.input_tokens,
        output_tokens=2 * base.demand.output_tokens,
    )
    plan = decide(resolve(base.scenario, base.trace, doubled)).plan
    return int(plan.start_up_shortfall_input_tokens.sum() + plan.start_up_shortfall_output_tokens.sum())


@pytest.mark.parametrize("interval_s", [300, 900, 3600])
def test_noise_on_stored_demand_is_that_of_drawn_traces(interval_s: int) -> None:
    count = 86_400 // interval_s
    found = LoadChange(noise=0.1, seed=5).factors(Grid(0, interval_s, count), 0, UTC)
    quarters = np.exp(log_noise(0.1, 5, 1, 96))
    if interval_s < 900:
        assert found == pytest.approx(np.repeat(quarters, 3))
    else:
        assert found == pytest.approx(quarters.reshape(count, -1).mean(axis=1))
    assert LoadChange(seed=5).factors(Grid(0, 900, 1), 0, UTC).tolist() == [1]


def test_hits_by_hand() -> None:
    grid = Grid(0, 900, 2)
    values = np.array([100, 200])
    demand = Demand(
        grid=grid, requests=values, input_tokens=values, cached_input_tokens=np.array([50, 100]), output_tokens=values
    )
    assert with_hits(demand, 0.5, 0.5).cached_input_tokens.tolist() == [50, 100]
    assert with_hits(demand, 0.5, 0.25).cached_input_tokens.tolist() == [25, 50]
    # a half of the misses become hits
    assert with_hits(demand, 0.5, 0.75).cached_input_tokens.tolist() == [75, 150]


@given(
    tokens=st.lists(st.tuples(st.integers(0, 10**9), st.floats(0, 1)), min_size=1, max_size=20),
    after=st.floats(0, 0.99),
)
def test_changed_hits_are_part_of_the_input_and_have_their_share(tokens: list[tuple[int, float]], after: float) -> None:
    inputs = np.array([count for count, _ in tokens], np.int64)
    cached = np.array([round(count * share) for count, share in tokens], np.int64)
    if not 0 < cached.sum() < inputs.sum():
        return
    demand = Demand(
        grid=Grid(0, 900, len(tokens)),
        requests=inputs,
        input_tokens=inputs,
        cached_input_tokens=cached,
        output_tokens=inputs,
    )
    found = with_hits(demand, cached.sum() / inputs.sum(), after).cached_input_tokens
    assert ((found >= 0) & (found <= inputs)).all()
    assert abs(found.sum() - after * inputs.sum()) <= len(tokens)


def test_hits_change_what_prefill_carries_and_what_input_earns(planned: Store) -> None:
    """At three quarters hits in place of nine sixteenths, a missed token in 1.75 is left."""
    base = base_on(planned, "trace.demand_factor=1.2")
    assert base.hit_ratio == pytest.approx(0.5625)
    some, more = at(base), at(base, **{CACHE_HIT: 0.75})
    fleet = base.scenario.fleet
    units = fleet.model_copy(
        update={"prefill": fleet.prefill.model_copy(update={"tokens_per_s_per_node": 81_672.0 * 1.75})}
    )
    plan = decide(resolve(base.scenario.model_copy(update={"fleet": units}), base.trace, base.demand)).plan
    assert more.shortfall_tokens == pytest.approx(
        int(plan.steady_shortfall_output_tokens.sum() + plan.start_up_shortfall_output_tokens.sum()), rel=1e-9
    )
    assert some.shortfall_tokens > more.shortfall_tokens > 0
    # dollars per million: 0.14 a hit, 0.55 a miss
    moved = 0.1875 * 608e9 * 1.2 / 1e6
    assert (some.revenue_usd_micros - more.revenue_usd_micros) / 1e6 == pytest.approx(moved * (0.55 - 0.14), rel=1e-6)


def test_a_unit_serves_while_all_its_nodes_are_up(cli: Cli) -> None:
    """Half of the nodes down: prefill units of one node keep a half of the capacity, decode units of two a quarter."""
    scenario = four_minutes(cli, "policy.name=fixed")
    store = Store("planner.duckdb")
    base = base_of(store, scenario, ensure_trace(store, scenario, now=NOW), ("fixed",))[0]
    assert at(base).shortfall_tokens == 0
    # four units of each role: 2400 input and 2400 output tokens a minute, all serving
    assert at(base, **{NODES_DOWN: 0.1}).shortfall_tokens == 0
    assert at(base, **{NODES_DOWN: 0.5}).shortfall_tokens == (2000 - 1200) + (1250 - 600)


def test_cost_follows_the_price_of_a_gpu_hour(planned: Store) -> None:
    base = base_on(planned)
    assert at(base, **{GPU_PRICE: 3.0}).figures.cost_usd == 1.5 * 87_072
    assert at(base, **{GPU_PRICE: 3.0}).revenue_usd_micros == at(base).revenue_usd_micros


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        (GPU_PRICE, "economics.gpu_usd_per_hour", 3.0),
        (CACHE_HIT, "trace.cache_hit_ratio", 0.3),
        (CACHE_HIT, "trace.cache_hit_ratio", 0.75),
        (NODES_DOWN, "failures.nodes_down_ratio", 0.01),
    ],
)
def test_a_case_is_the_plan_with_the_setting_of_its_value(planned: Store, name: str, field: str, value: float) -> None:
    found = figures_of(at(base_on(planned), **{name: value}))
    assert found == plan_figures(planned, f"{field}={value}")
    assert found != plan_figures(planned)


@pytest.mark.parametrize("capacity", ["observed", "modelled"])
def test_the_settings_of_the_scenario_are_the_base(planned: Store, capacity: str) -> None:
    sets = (
        "economics.gpu_usd_per_hour=3",
        "trace.cache_hit_ratio=0.3",
        "failures.nodes_down_ratio=0.01",
        f"fleet.capacity={capacity}",
    )
    base = base_on(planned, *sets)
    assert (base.gpu_usd_per_hour, base.hit_ratio, base.nodes_down_ratio) == (3.0, 0.3, 0.01)
    assert figures_of(at(base)) == plan_figures(planned, *sets)
    own = {GPU_PRICE: 3.0, CACHE_HIT: 0.3, NODES_DOWN: 0.01}
    assert figures_of(at(base, **own)) == figures_of(at(base))
    # a case has its own value in place of the scenario's, and does not add to it
    more = plan_figures(planned, *sets[:2], "failures.nodes_down_ratio=0.02", sets[3])
    assert figures_of(at(base, **{NODES_DOWN: 0.02})) == more


def test_latencies_are_kept_by_units_that_serve_below_their_limits(planned: Store) -> None:
    base = base_on(planned)
    assert base.limits is not None
    free = replace(base.limits, input_tokens_per_s=1e9, output_tokens_per_s=1e9)
    assert at(replace(base, limits=free)).figures.latency_met_ratio == 1.0
    # a decode unit that carries what it is planned for keeps the targets in all intervals but those of more use
    plan = decide(resolve(base.scenario, base.trace, base.demand)).plan
    fleet = base.scenario.fleet.decode
    most = fleet.tokens_per_s_per_node * fleet.nodes
    tight = replace(free, output_tokens_per_s=0.96 * most)
    within = base.demand.output_tokens <= 0.96 * plan.decode_serving_tokens
    assert 0 < within.sum() < len(within)
    met = at(replace(base, limits=tight)).latency_met_requests
    assert met == base.demand.requests[within].sum()
    assert 0 < (at(base).figures.latency_met_ratio or 0) < 1

"""`planner sweep`: samples by hand, cases held against plans, the same outcomes from any number of processes."""

import json
import math
import multiprocessing
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.catalogue.scenarios import load_scenario, number_kind
from planner.core.demand import Demand, Grid
from planner.core.sensitivity import Law, latin_hypercube, quantiles, rank_correlation, seeds, tornado
from planner.errors import PlannerError, UsageError
from planner.planning.decide import decide
from planner.planning.plan import plan_and_store
from planner.planning.prepare import ensure_trace, resolve
from planner.runs.read import read_run
from planner.settings.scenario import Scenario
from planner.settings.sweep import Range
from planner.store import Store
from planner.studies.sweep.case import (
    CACHE_HIT,
    GPU_PRICE,
    NODES_DOWN,
    OWN,
    Case,
    Outcome,
    Study,
    noise_factors,
    run_case,
    with_hits,
)
from planner.studies.sweep.run import NOISE_SEEDS, Sweep, design, ranges_of, run_all, study_of, sweep
from planner.studies.sweep.summary import document
from planner.trace.synthetic.cells import log_noise
from tests.cli.test_report import browsed
from tests.conftest import NOW, Cli, Result, minute_log, small_scenario

FIGURES = (
    "cost_usd", "peak_nodes", "mean_nodes", "training_node_hours", "useful_training_node_hours", "revenue_usd",
    "margin_ratio", "shortfall_tokens", "shortfall_ratio",
)  # fmt: skip
"""Figures of a case that a plan's summary has too."""
KEPT = tuple(f"{path}=base" for path in OWN)
UNIFORM = Law("uniform", 2.0, 4.0, 2.0)
FOUR = [(600, 100), (700, 1250), (100, 100), (2000, 0)]


def study_on(store: Store, *sets: str) -> Study:
    """The base of a sweep over a scenario."""
    scenario = load_scenario(None, sets).scenario
    trace = ensure_trace(store, scenario, now=NOW)
    return study_of(store, scenario, trace, (scenario.policy.name,))[0]


def four_minutes(cli: Cli, *sets: str) -> Scenario:
    """Four minutes of an imported log on the small fleet; input 600, 700, 100, 2000, output 100, 1250, 100, 0."""
    log = minute_log(Path("log.csv"), FOUR)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "four").code == 0
    return small_scenario("trace.name=four", *sets)


def plan_figures(store: Store, *sets: str) -> dict[str, Any]:
    """The figures of `planner plan`, which draws its trace and counts its rows."""
    run_id = plan_and_store(store, load_scenario(None, sets).scenario, now=NOW)
    with store.read() as session:
        summary = read_run(session, run_id).summary
    return {name: getattr(summary, name) for name in FIGURES}


def figures(outcome: Outcome) -> dict[str, Any]:
    return {name: outcome.metrics()[name] for name in FIGURES}


def at(study: Study, **values: float) -> Outcome:
    """A case at some values; names as in paths, with "__" for "."."""
    plain = {name.replace("__", "."): value for name, value in values.items()}
    return run_case(study, Case(0, "sample", None, study.scenario.policy.name, plain, study.settings.seed))


def refused(result: Result) -> str:
    """The one line of what cannot be meant."""
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    return result.err


# samples and what is made of them


@given(cases=st.integers(1, 60), seed=st.integers(0, 2**40))
def test_a_latin_hypercube_has_one_value_in_every_part_of_every_column(cases: int, seed: int) -> None:
    for column in latin_hypercube(["a", "b"], cases, seed).values():
        assert sorted(np.floor(column * cases).astype(int)) == list(range(cases))
        assert column.min() >= 0
        assert column.max() < 1


def test_a_column_does_not_depend_on_the_others() -> None:
    alone, both = latin_hypercube(["a"], 20, 7), latin_hypercube(["b", "a"], 20, 7)
    assert (alone["a"] == both["a"]).all()
    assert (both["a"] != both["b"]).any()
    assert (latin_hypercube(["a"], 20, 8)["a"] != alone["a"]).any()


def test_first_seeds_do_not_depend_on_how_many_there_are() -> None:
    assert seeds("case", 5, 1) == seeds("case", 9, 1)[:5]
    assert seeds("case", 5, 1) != seeds("noise", 5, 1)


def test_values_of_laws_by_hand() -> None:
    assert UNIFORM.values([0, 0.25, 1]).tolist() == [2.0, 2.5, 4.0]
    assert Law("log-uniform", 30.0, 750.0, 30.0).values([0, 0.5, 1]) == pytest.approx([30, 150, 750])
    # an eighth of the likelihood lies below a quarter of the way up, and as much above three quarters
    assert Law("triangular", 0.0, 4.0, 2.0).values([0, 0.125, 0.5, 0.875, 1]) == pytest.approx([0, 1, 2, 3, 4])
    assert Law("triangular", 0.0, 1.0, 0.0).values([0, 0.75, 1]) == pytest.approx([0, 0.5, 1])
    assert Law("triangular", 0.0, 1.0, 1.0).values([0, 0.25, 1]) == pytest.approx([0, 0.5, 1])


@given(top=st.floats(0, 1), share=st.floats(0.001, 0.999))
def test_a_triangular_value_has_its_share_of_the_likelihood_below(top: float, share: float) -> None:
    value = float(Law("triangular", 0.0, 1.0, top).values(share))
    below = value**2 / top if value < top else 1 - (1 - value) ** 2 / (1 - top)
    assert math.isclose(below, share, abs_tol=1e-9)


def test_quantiles_are_linear_between_cases() -> None:
    found = quantiles(range(21))
    assert found == {"p5": 1.0, "p25": 5.0, "p50": 10.0, "p75": 15.0, "p95": 19.0, "mean": 10.0}
    assert quantiles([1, 2])["p25"] == 1.25
    assert set(quantiles([]).values()) == {None}


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation([1, 2, 3], [10, 100, 1000]) == 1.0
    assert rank_correlation([1, 2, 3], [5, 4, -9]) == -1.0
    # ranks 0, 1.5, 1.5, 3 and 0, 1, 2, 3
    assert rank_correlation([1, 2, 2, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert rank_correlation([1, 1], [1, 2]) is None
    assert rank_correlation([1], [2]) is None


def test_a_tornado_has_the_widest_bar_first_and_counts_the_base() -> None:
    bars = tornado(10.0, {"b": (9.0, 11.0), "a": (11.0, 9.0), "c": (14.0, 15.0), "d": (None, None)})
    assert [(bar.parameter, bar.swing) for bar in bars] == [("c", 5.0), ("a", 2.0), ("b", 2.0), ("d", 0.0)]
    assert tornado(None, {"a": (None, None)})[0].swing == 0.0


# a case is a plan


def test_the_base_is_the_plan_of_the_scenario(planned: Store) -> None:
    study = study_on(planned)
    assert study.by_cells
    outcome = run_case(study, Case(0, "base", None, "night-training", {}, 1))
    assert figures(outcome) == plan_figures(planned)
    assert outcome.metrics()["cost_usd"] == 87_072.0
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
    study = study_on(planned, *sets)
    assert study.by_cells is ("interval_s=300" not in sets)
    assert figures(at(study)) == plan_figures(planned, *sets)
    assert figures(at(study, **{CACHE_HIT: study.hit_ratio, NODES_DOWN: 0.0})) == figures(at(study))


def test_sampled_cases_are_the_plans_of_their_values(planned: Store) -> None:
    """Level, noise, seed and start-up; the plan draws a trace of its own and counts its rows."""
    found = sweep(planned, load_scenario().scenario, cases=3, vary=KEPT, now=NOW)
    samples = found.of("night-training", "sample")
    assert len({outcome.cost_usd_micros for outcome in samples}) == 3
    for outcome in samples[:2]:
        values = [f"{path}={value}" for path, value in outcome.case.values.items()]
        assert len(values) == 3
        assert figures(outcome) == plan_figures(planned, *values, f"trace.seed={outcome.case.seed}")


def test_a_policy_inside_a_case_sees_what_its_demand_source_tells(planned: Store) -> None:
    """The profile tells of the case's level, and of no noise."""
    sets = ("policy.demand_source=profile", "policy.name=predictive")
    (outcome,) = sweep(planned, load_scenario(None, sets).scenario, cases=2, vary=KEPT, now=NOW).outcomes[-1:]
    values = [f"{path}={value}" for path, value in outcome.case.values.items()]
    assert figures(outcome) == plan_figures(planned, *sets, *values, f"trace.seed={outcome.case.seed}")


def test_an_imported_trace_is_taken_times_level(cli: Cli, store: Store) -> None:
    scenario = four_minutes(cli)
    store = Store("planner.duckdb")
    trace = ensure_trace(store, scenario, now=NOW)
    study, notes = study_of(store, scenario, trace, ("night-training",))
    assert not study.by_cells
    assert any("latencies are not modelled: " in note for note in notes)
    assert any("the stored demand of every interval times level and noise" in note for note in notes)
    plan_and_store(store, scenario, now=NOW)
    with store.read() as session:
        summary = read_run(session).summary
    assert figures(at(study)) == {name: getattr(summary, name) for name in FIGURES}
    # twice as much: 1200, 1400, 200, 4000 input and 200, 2500, 200, 0 output against 2400 of the full fleet in a minute
    double = at(study, trace__demand_factor=2.0)
    assert double.demanded_tokens == 2 * at(study).demanded_tokens == 2 * 4850
    assert double.shortfall_tokens == (4000 - 2400) + (2500 - 2400) + start_up_shortfall(study)
    assert double.latency_met_requests is None


def start_up_shortfall(study: Study) -> int:
    """Demand doubled: what the plan of the doubled trace lacks while units load."""
    doubled = replace(
        study.demand,
        input_tokens=2 * study.demand.input_tokens,
        output_tokens=2 * study.demand.output_tokens,
    )
    plan = decide(resolve(study.scenario, study.trace, doubled)).plan
    return int(plan.start_up_shortfall_input_tokens.sum() + plan.start_up_shortfall_output_tokens.sum())


@pytest.mark.parametrize("interval_s", [300, 900, 3600])
def test_noise_on_stored_demand_is_that_of_drawn_traces(interval_s: int) -> None:
    settings = load_scenario(None, ["trace.noise=0.1", "trace.seed=5"]).scenario.trace
    count = 86_400 // interval_s
    none = np.zeros(count, np.int64)
    found = noise_factors(settings, Demand(Grid(0, interval_s, count), none, none, none, none))
    quarters = np.exp(log_noise(0.1, 5, 1, 96))
    if interval_s < 900:
        assert found == pytest.approx(np.repeat(quarters, 3))
    else:
        assert found == pytest.approx(quarters.reshape(count, -1).mean(axis=1))
    assert noise_factors(settings.model_copy(update={"noise": 0.0}), Demand(Grid(0, 900, 1), *[none] * 4)).tolist() == [
        1
    ]


def test_hits_by_hand() -> None:
    grid = Grid(0, 900, 2)
    values = np.array([100, 200])
    demand = Demand(grid, values, values, np.array([50, 100]), values)
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
    demand = Demand(Grid(0, 900, len(tokens)), inputs, inputs, cached, inputs)
    found = with_hits(demand, cached.sum() / inputs.sum(), after).cached_input_tokens
    assert ((found >= 0) & (found <= inputs)).all()
    assert abs(found.sum() - after * inputs.sum()) <= len(tokens)


def test_hits_change_what_prefill_carries_and_what_input_earns(planned: Store) -> None:
    """At three quarters hits in place of nine sixteenths, a missed token in 1.75 is left."""
    study = study_on(planned, "trace.demand_factor=1.2")
    assert study.hit_ratio == pytest.approx(0.5625)
    some, more = at(study), at(study, **{CACHE_HIT: 0.75})
    fleet = study.scenario.fleet
    units = fleet.model_copy(
        update={"prefill": fleet.prefill.model_copy(update={"tokens_per_s_per_node": 81_672.0 * 1.75})}
    )
    plan = decide(resolve(study.scenario.model_copy(update={"fleet": units}), study.trace, study.demand)).plan
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
    study = study_of(store, scenario, ensure_trace(store, scenario, now=NOW), ("fixed",))[0]
    assert at(study).shortfall_tokens == 0
    # four units of each role: 2400 input and 2400 output tokens a minute, all serving
    assert at(study, **{NODES_DOWN: 0.1}).shortfall_tokens == 0
    assert at(study, **{NODES_DOWN: 0.5}).shortfall_tokens == (2000 - 1200) + (1250 - 600)


def test_cost_follows_the_price_of_a_gpu_hour(planned: Store) -> None:
    study = study_on(planned)
    assert at(study, **{GPU_PRICE: 3.0}).metrics()["cost_usd"] == 1.5 * 87_072
    assert at(study, **{GPU_PRICE: 3.0}).revenue_usd_micros == at(study).revenue_usd_micros


def test_latencies_are_kept_by_units_that_serve_below_their_limits(planned: Store) -> None:
    study = study_on(planned)
    assert study.limits is not None
    free = replace(study.limits, input_tokens_per_s=1e9, output_tokens_per_s=1e9)
    assert at(replace(study, limits=free)).metrics()["latency_met_ratio"] == 1.0
    # a decode unit that carries what it is planned for keeps the targets in all intervals but those of more use
    plan = decide(resolve(study.scenario, study.trace, study.demand)).plan
    fleet = study.scenario.fleet.decode
    most = fleet.tokens_per_s_per_node * fleet.nodes
    tight = replace(free, output_tokens_per_s=0.96 * most)
    within = study.demand.output_tokens <= 0.96 * plan.decode_serving_tokens
    assert 0 < within.sum() < len(within)
    met = at(replace(study, limits=tight)).latency_met_requests
    assert met == study.demand.requests[within].sum()
    assert 0 < (at(study).metrics()["latency_met_ratio"] or 0) < 1


# sweeps


@pytest.fixture(scope="module")
def found(_planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Twenty cases for each of two policies, planned in this process."""
    scenario = load_scenario().scenario
    return sweep(Store(_planned), scenario, policies=("night-training", "reactive"), cases=20, workers=1, now=NOW)


def test_every_policy_gets_the_same_cases(found: Sweep) -> None:
    ours, others = ([each.case for each in found.outcomes if each.case.policy == name] for name in found.policies)
    assert [replace(case, policy="reactive") for case in ours] == others
    assert [case.index for case in ours] == list(range(1 + 2 * 5 + NOISE_SEEDS + 20))


def test_one_at_a_time_changes_one_value_only(found: Sweep) -> None:
    (base,) = found.of("reactive", "base")
    laws = {each.path: each.law for each in found.parameters}
    for role in ("low", "high"):
        assert [each.case.varied for each in found.of("reactive", role)] == [
            path for path in laws if "noise" not in path
        ]
        for each in found.of("reactive", role):
            changed = {path: value for path, value in each.case.values.items() if value != base.case.values[path]}
            # the least of noise and of nodes down is what the scenario has
            end = getattr(laws[str(each.case.varied)], role)
            assert changed in ({each.case.varied: end}, {})
            assert end == each.case.values[str(each.case.varied)]
            assert each.case.seed == base.case.seed
    assert len({each.case.seed for each in found.of("reactive", "seed")}) == NOISE_SEEDS


def test_samples_cover_every_range_evenly(found: Sweep) -> None:
    for parameter in found.parameters:
        values = sorted(float(each.case.values[parameter.path] or 0) for each in found.of("night-training", "sample"))
        bounds = parameter.law.values(np.arange(21) / 20)
        for index, value in enumerate(values):
            assert bounds[index] - 0.51 * parameter.whole <= value + 1e-6
            assert value - 1e-6 <= bounds[index + 1] + 0.51 * parameter.whole


def test_the_document_says_what_matters_and_how_sure_it_is(found: Sweep) -> None:
    told = document(found, "sweep-00001")
    first = told["policies"][0]
    assert all(told[key] == first[key] for key in ("base", "quantiles", "attainment", "tornado"))
    costs = [each.cost_usd_micros / 1e6 for each in found.of("night-training", "sample")]
    assert told["quantiles"]["cost_usd"]["p50"] == pytest.approx((sorted(costs)[9] + sorted(costs)[10]) / 2)
    assert told["quantiles"]["cost_usd"]["mean"] == pytest.approx(sum(costs) / 20)
    held = sum(each.slo_met for each in found.of("night-training", "sample"))
    assert 0 < held < 20
    assert told["attainment"] == {
        "max_shortfall_ratio": {
            "limit": 0.01,
            "cases_met": held,
            "cases": 20,
            "ratio": held / 20,
            "standard_error": math.sqrt(held / 20 * (1 - held / 20) / 20),
        }
    }
    by_cost, by_shortfall = (
        [row for row in told["tornado"] if row["metric"] == metric] for metric in ("cost_usd", "shortfall_ratio")
    )
    assert (by_cost[0]["parameter"], by_shortfall[0]["parameter"]) == (GPU_PRICE, "trace.demand_factor")
    # the price alone: 0.65 and 1.25 times the published cost
    assert (by_cost[0]["low"], by_cost[0]["base"], by_cost[0]["high"]) == (56_596.8, 87_072.0, 108_840.0)
    assert by_cost[0]["rank_correlation"] > 0.8
    for rows in (by_cost, by_shortfall):
        assert [row["swing"] for row in rows] == sorted((row["swing"] for row in rows), reverse=True)
        assert {row["method"] for row in rows if row["parameter"] == "trace.noise"} == {"seeds"}
    assert {each["kind"] for each in told["parameters"]} == {"assumed"}
    assert all(each["source"] for each in told["parameters"])


def test_a_budget_is_a_limit_too(planned: Store) -> None:
    scenario = load_scenario(None, ["economics.budget_usd=87072", "trace.noise=0"]).scenario
    price = ("gpu_usd_per_hour=1:3", "trace.demand_factor=base", "trace.noise=base", "cache_hit_ratio=base")
    still = (*price, "fleet.start_up_s=base", "nodes_down_ratio=base")
    done = sweep(planned, scenario, cases=10, vary=still, now=NOW)
    held = document(done, "s")["attainment"]
    # triangular with its top at 2 dollars, which meet the budget: half of the likelihood is below
    assert held["budget_usd"]["cases_met"] == 5
    assert held["max_shortfall_ratio"]["cases_met"] == 10


def test_outcomes_do_not_depend_on_the_number_of_processes(found: Sweep, planned: Store) -> None:
    study = study_on(planned)
    cases = [each.case for each in found.outcomes if each.case.policy == "night-training"]
    told: list[tuple[int, int]] = []
    in_two = run_all(study, cases, workers=2, progress=lambda done, total: told.append((done, total)))
    assert in_two == [each for each in found.outcomes if each.case.policy == "night-training"]
    assert told[-1] == (len(cases), len(cases))
    assert "POLARS_MAX_THREADS" not in os.environ
    assert not multiprocessing.active_children()


def test_an_interrupted_sweep_stores_nothing_and_leaves_no_process(planned: Store) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = planned.path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        sweep(planned, load_scenario().scenario, cases=40, workers=2, now=NOW, progress=interrupt)
    assert planned.path.read_bytes() == before
    assert not multiprocessing.active_children()


def test_a_case_that_cannot_be_planned_is_named(planned: Store) -> None:
    """A fleet of 70 nodes can be, and a floor of 278, but not both."""
    vary = ("fleet.nodes=70:80", "policy.floor_nodes=100:278")
    with pytest.raises(UsageError, match=r"night-training at .*fleet\.nodes=7\d.*: policy\.floor_nodes is") as raised:
        sweep(planned, load_scenario().scenario, cases=2, vary=vary, now=NOW)
    # it may come from another process
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


def test_the_same_seed_gives_the_same_cases_and_another_one_does_not(found: Sweep, planned: Store) -> None:
    study = study_on(planned)
    cases = [each.case for each in found.outcomes]
    assert design(study, found.parameters, found.policies, 20, seed=1) == cases
    others = design(study, found.parameters, found.policies, 20, seed=2)
    fixed = 1 + 2 * 5
    assert others[:fixed] == cases[:fixed]
    assert all(one.values != two.values for one, two in zip(others, cases, strict=True) if one.role == "sample")


# ranges


def test_a_flag_changes_a_range_adds_one_and_takes_one_out() -> None:
    scenario = load_scenario().scenario
    vary = ("fleet.start_up_s=60:600", "policy.target_utilisation=0.8:0.95", "trace.noise=base")
    ranges = {each.path: each for each in ranges_of(scenario, vary)}
    assert (ranges["fleet.start_up_s"].law, ranges["fleet.start_up_s"].low) == ("log-uniform", 60)
    assert ranges["policy.target_utilisation"].law == "uniform"
    assert ranges["policy.target_utilisation"].provenance == "set: flag --vary"
    assert "trace.noise" not in ranges
    assert {"trace.demand_factor", CACHE_HIT, GPU_PRICE, NODES_DOWN} < set(ranges)


def test_a_range_relative_to_nothing_is_left_out_and_said(cli: Cli) -> None:
    done = sweep(Store("planner.duckdb"), four_minutes(cli), cases=2, now=NOW)
    assert CACHE_HIT not in [each.path for each in done.parameters]
    assert any(note.startswith(f"{CACHE_HIT} is 0.0 in the scenario") for note in document(done, "s")["notes"])


def test_whole_numbers_stay_whole(planned: Store) -> None:
    done = sweep(planned, load_scenario().scenario, cases=2, vary=("policy.ramp_nodes=30:90",), now=NOW)
    for path in ("fleet.start_up_s", "policy.ramp_nodes"):
        assert all(isinstance(each.case.values[path], int) for each in done.of("night-training", "sample"))
    assert done.outcomes[0].case.values["policy.ramp_nodes"] is None


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("fleet.nodes", int),
        ("policy.ramp_nodes", int),
        ("economics.budget_usd", float),
        ("trace.demand_factor", float),
        ("trace.weekday_factors", None),
        ("training.lend", None),
        ("policy.name", None),
        ("policy.bounds", None),
    ],
)
def test_which_fields_hold_numbers(path: str, kind: type | None) -> None:
    assert number_kind(path) is kind


@pytest.mark.parametrize(
    ("range_", "message"),
    [
        ({"low": 2, "high": 1}, "give a low below the high"),
        ({"low": 0, "high": 1, "law": "log-uniform"}, "start above 0"),
        ({"low": 0, "high": 1, "provenance": "I think"}, "say what it is"),
    ],
)
def test_a_range_that_cannot_be_meant_is_refused(range_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Range.model_validate({"path": "fleet.nodes", "provenance": "assumed: x", **range_})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vary", "fleet.node=1:2"], "fleet.node: is not a known field, nor one of cache_hit_ratio"),
        (["--vary", "fleet.engine.accepted=1:2"], "is no number that a sweep varies"),
        (["--vary", "policy.day_window=1:2"], "is no number that a sweep varies"),
        (["--vary", "fleet.start_up_s"], "write PATH=LOW:HIGH"),
        (["--vary", "fleet.start_up_s=a:b"], "write PATH=LOW:HIGH"),
        (["--vary", "fleet.start_up_s=9:9"], "give a low below the high"),
        (["--vary", "fleet.nodes=20:300"], "the base units need 68 nodes and the fleet has 20"),
        (["--vary", "policy.target_utilisation=0.5:1.5"], "less than or equal to 1"),
        (["--vary", "cache_hit_ratio=0.5:1"], "give values from 0 to 0.99"),
        (["--vary", "nodes_down_ratio=-1:0.1"], "give values from 0 to 0.5"),
        (["--cases", "1"], "--cases 1: give 2 to 100,000"),
        (["--seed", "-1"], "--seed -1: give 0 or more"),
        (["--policies", "fixed,"], "write names with a comma between"),
        (["--policies", "fixed,guess"], "use one of night-training"),
        (["--set", "sweep.vary=[]"], "nothing is uncertain"),
        (
            ["--set", 'sweep.vary=[{path="x",low=1,high=2,provenance="assumed: x"}]'],
            "sweep.vary: x: is not a known field",
        ),
    ],
)
def test_a_mistake_gets_one_line_with_the_cure_and_stores_nothing(
    planned: Store, cli: Cli, words: list[str], message: str
) -> None:
    before = planned.path.read_bytes()
    assert message in refused(cli("sweep", *words))
    assert planned.path.read_bytes() == before


def test_growth_needs_a_drawn_trace(cli: Cli) -> None:
    scenario = four_minutes(cli)
    with pytest.raises(UsageError, match="can only be varied for a trace drawn from a profile"):
        sweep(Store("planner.duckdb"), scenario, cases=2, vary=("trace.growth_per_day=0:0.1",), now=NOW)


# the command


def test_the_command_prints_stores_and_is_asked_in_sql(planned: Store, cli: Cli) -> None:
    result = cli("sweep", "--cases", "10", "--json")
    assert (result.code, result.err) == (0, "")
    told = result.json
    assert set(told) >= {"sweep_id", "cases", "parameters", "quantiles", "tornado", "attainment", "policies", "notes"}
    assert told["sweep_id"] == "sweep-00001"
    rows = cli("sql", "--name", "sweep_quantiles", "--param", "sweep_id=sweep-00001", "--json").json
    asked = {row["metric"]: row for row in rows}
    for metric, values in told["quantiles"].items():
        assert {key: asked[metric][key] for key in values} == pytest.approx(values), metric
    assert asked["slo_met"]["mean"] == told["attainment"]["max_shortfall_ratio"]["ratio"]
    (base,) = cli(
        "sql", "SELECT settings, parameters FROM sweep_case WHERE role = 'base' AND settings IS NOT NULL", "--json"
    ).json
    assert json.loads(base["settings"])["sweep"]["vary"][0]["provenance"].startswith("assumed: ")
    assert json.loads(base["parameters"])["fleet.start_up_s"] == 180
    assert len(cli("run", "list", "--json").json) == 1
    text = cli("sweep", "--cases", "10").out
    assert text.startswith("sweep-00002: deepseek-2025-02-27 on trace")
    assert "cost usd: one at a time" in text


def test_the_page_shows_what_matters_and_how_outcomes_spread(
    planned: Store, cli: Cli, tmp_path: Path, chromium: str
) -> None:
    told = cli("sweep", "--cases", "12", "--policies", "night-training,fixed", "--out", "page", "--json").json
    folder = tmp_path / "page"
    assert {Path(file).name for file in told["files"]} == {
        "index.html", "tornado.svg", "tornado.png", "tornado.csv", "spread.svg", "spread.png", "spread.csv",
        "parameters.csv", "quantiles.csv", "attainment.csv", "cases.csv",
    }  # fmt: skip
    dom, log, asked = browsed(chromium, folder / "index.html", tmp_path / "profile")
    assert 'data-drawn="2"' in dom
    assert 'data-failed="0"' in dom
    assert "CONSOLE" not in log, log
    assert asked == ["/index.html"]
    assert (
        "Cost depends most on gpu_usd_per_hour, shortfall on trace.demand_factor"
        in (folder / "tornado.svg").read_text()
    )


def test_a_page_that_cannot_be_written_is_said_in_one_line(planned: Store, cli: Cli) -> None:
    Path("file").write_text("")
    result = cli("sweep", "--cases", "2", "--out", "file")
    assert result.code == PlannerError.exit_code
    assert result.err.count("\n") == 1
    assert "name another folder with --out" in result.err

"""`planner sweep`: samples by hand, ranges and mistakes, the same outcomes from any number of processes."""

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

from planner.catalogue.fields import number_kind
from planner.catalogue.scenarios import load_scenario
from planner.documents import to_json
from planner.errors import PlannerError, UsageError
from planner.settings.sweep import SweepRange
from planner.store import Store
from planner.studies.sweep.base import CACHE_HIT, GPU_PRICE, NODES_DOWN
from planner.studies.sweep.design import NOISE_SEEDS, design
from planner.studies.sweep.document import describe_sweep
from planner.studies.sweep.processes import run_all
from planner.studies.sweep.ranges import read_ranges
from planner.studies.sweep.run import Sweep, sweep
from tests.conftest import NOW, SMALL, Cli, Result
from tests.helpers.live_pages import LivePages, wait_for_charts
from tests.helpers.sweeps import base_on, four_minutes


def refused(result: Result) -> str:
    """The one line of what cannot be meant."""
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    return result.err


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
    told = to_json(describe_sweep(found, "sweep-00001"))
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
    held = describe_sweep(done, "s").attainment
    # triangular with its top at 2 dollars, which meet the budget: half of the likelihood is below
    assert held.budget_usd is not None
    assert held.budget_usd.cases_met == 5
    assert held.max_shortfall_ratio.cases_met == 10


def test_outcomes_do_not_depend_on_the_number_of_processes(found: Sweep, planned: Store) -> None:
    base = base_on(planned)
    cases = [each.case for each in found.outcomes if each.case.policy == "night-training"]
    told: list[tuple[int, int]] = []
    in_two = run_all(base, cases, workers=2, progress=lambda done, total: told.append((done, total)))
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
    base = base_on(planned)
    cases = [each.case for each in found.outcomes]
    assert design(base, found.parameters, found.policies, 20, seed=1) == cases
    others = design(base, found.parameters, found.policies, 20, seed=2)
    fixed = 1 + 2 * 5
    assert others[:fixed] == cases[:fixed]
    assert all(one.values != two.values for one, two in zip(others, cases, strict=True) if one.role == "sample")


# ranges


def test_a_flag_changes_a_range_adds_one_and_takes_one_out() -> None:
    scenario = load_scenario().scenario
    vary = ("fleet.start_up_s=60:600", "policy.target_utilisation=0.8:0.95", "trace.noise=base")
    ranges = {each.path: each for each in read_ranges(scenario, vary)}
    assert (ranges["fleet.start_up_s"].law, ranges["fleet.start_up_s"].low) == ("log-uniform", 60)
    assert ranges["policy.target_utilisation"].law == "uniform"
    assert ranges["policy.target_utilisation"].provenance == "set: flag --vary"
    assert "trace.noise" not in ranges
    assert {"trace.demand_factor", CACHE_HIT, GPU_PRICE, NODES_DOWN} < set(ranges)


def test_a_range_relative_to_nothing_is_left_out_and_said(cli: Cli) -> None:
    done = sweep(Store("planner.duckdb"), four_minutes(cli), cases=2, now=NOW)
    assert CACHE_HIT not in [each.path for each in done.parameters]
    assert any(note.startswith(f"{CACHE_HIT} is 0.0 in the scenario") for note in describe_sweep(done, "s").notes)


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
        ({"low": 0, "high": 1, "provenance": "I think"}, "state its kind"),
    ],
)
def test_a_range_that_cannot_be_meant_is_refused(range_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SweepRange.model_validate({"path": "fleet.nodes", "provenance": "assumed: x", **range_})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vary", "fleet.node=1:2"], "fleet.node is neither a known field nor one of cache_hit_ratio"),
        (["--vary", "economics.gpu_usd_per_hour=1:2"], "is varied under the name gpu_usd_per_hour; give that"),
        (["--vary", "fleet.engine.accepted=1:2"], "is not a number that a sweep can vary"),
        (["--vary", "policy.day_window=1:2"], "is not a number that a sweep can vary"),
        (["--vary", "fleet.start_up_s"], "write PATH=LOW:HIGH"),
        (["--vary", "fleet.start_up_s=a:b"], "write PATH=LOW:HIGH"),
        (["--vary", "fleet.start_up_s=9:9"], "give a low below the high"),
        (["--vary", "fleet.nodes=20:300"], "the base units need 68 nodes and the fleet has 20"),
        (["--vary", "policy.target_utilisation=0.5:1.5"], "less than or equal to 1"),
        (["--vary", "cache_hit_ratio=0.5:1"], "give values from 0 to 0.99"),
        (["--vary", "nodes_down_ratio=-1:0.1"], "give values from 0 to 0.5"),
        (["--cases", "1"], "--cases is 1; give 2 to 100,000"),
        (["--seed", "-1"], "--seed is -1; give 0 or more"),
        (["--policies", "fixed,"], "separate names with commas"),
        (["--policies", "fixed,guess"], "use one of night-training"),
        (["--set", "sweep.vary=[]"], "nothing is uncertain"),
        (
            ["--set", 'sweep.vary=[{path="x",low=1,high=2,provenance="assumed: x"}]'],
            "sweep.vary: x is neither a known field",
        ),
    ],
)
def test_a_mistake_gets_one_line_with_the_cure_and_stores_nothing(
    planned: Store, cli: Cli, words: list[str], message: str
) -> None:
    before = planned.path.read_bytes()
    assert message in refused(cli("sweep", *words))
    assert planned.path.read_bytes() == before


def test_growth_of_a_drawn_trace_needs_whole_cells(planned: Store) -> None:
    scenario = load_scenario(None, ["interval_s=600"]).scenario
    with pytest.raises(UsageError, match="can only be varied with intervals of whole cells"):
        sweep(planned, scenario, cases=2, vary=("trace.growth_per_day=0:0.1",), now=NOW)


def test_growth_of_a_stored_trace_says_where_it_has_no_effect(cli: Cli) -> None:
    fixed = [each.path for each in load_scenario().scenario.sweep.vary]
    vary = [word for path in fixed for word in ("--vary", f"{path}=base")]
    four_minutes(cli)
    words = [word for field in (*SMALL, "trace.name=four") for word in ("--set", field)]
    found = cli("sweep", "--cases", "2", *vary, "--vary", "trace.growth_per_day=0:0.1", *words, "--json")
    assert "trace.growth_per_day has no effect within one day" in " ".join(found.json["notes"])


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
    planned: Store, cli: Cli, tmp_path: Path, browse: LivePages
) -> None:
    told = cli("sweep", "--cases", "12", "--policies", "night-training,fixed", "--out", "page", "--json").json
    folder = tmp_path / "page"
    assert {Path(file).name for file in told["files"]} == {
        "index.html", "tornado.svg", "tornado.png", "tornado.csv", "spread.svg", "spread.png", "spread.csv",
        "parameters.csv", "quantiles.csv", "attainment.csv", "cases.csv",
    }  # fmt: skip
    wait_for_charts(browse(folder / "index.html"), 2)
    assert browse.requests == [(folder / "index.html").as_uri()]
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

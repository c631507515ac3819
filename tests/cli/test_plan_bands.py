"""Bands of plans: both ends are plans of their own, with the capacities that the band of times gives."""

from pathlib import Path

import pytest

from planner.capacity.bands import capacity_band
from planner.capacity.engines import model_capacity
from planner.catalogue.scenarios import load_scenario
from planner.planning.capacity import trace_workload
from planner.store import Store
from tests.conftest import Cli

MODELLED = ("--set", "fleet.capacity=modelled")
FIGURES = (
    "need_nodes",
    "peak_nodes",
    "mean_nodes",
    "node_hours",
    "training_node_hours",
    "cost_usd",
    "shortfall_ratio",
)


def bands_of(document: dict) -> dict[str, dict]:  # type: ignore[type-arg]
    return {band["figure"]: band for band in document["bands"]}


def test_a_plan_on_observed_capacity_has_no_bands(cli: Cli) -> None:
    assert cli("plan", "--json").json["bands"] == []
    shown = cli("plan").out
    assert "90 % band" not in shown
    assert "mean 226.75, 5,442.0 node-hours\n" in shown
    assert cli("sql", "SELECT count(*) AS bands FROM run_band", "--format", "json").json == [{"bands": 0}]


@pytest.mark.parametrize("policy", ["predictive", "slo"])
def test_the_ends_of_a_band_are_the_plans_of_faster_and_slower_units(cli: Cli, policy: str) -> None:
    # prefill bounds a plan of the policy slo by waiting too: only plain rates are compared there
    found = cli("plan", *MODELLED, "--policy", policy, "--set", "fleet.nodes=400", "--json").json
    bands = bands_of(found)
    assert set(bands) == set(FIGURES)
    for name in FIGURES:
        band = bands[name]
        assert band["value"] == pytest.approx(found[name])
        assert band["low"] <= band["value"] <= band["high"]
        assert not band["measured"]
    if policy == "slo":
        return
    fleet = load_scenario(None, ["fleet.capacity=modelled"]).scenario.fleet
    workload = trace_workload(Store(Path("planner.duckdb")), found["trace"])
    ends = capacity_band(fleet, 50.0, model_capacity(fleet, 50.0, workload))
    plans = [
        cli(
            "plan",
            "--policy",
            policy,
            "--set",
            "fleet.nodes=400",
            "--set",
            f"fleet.prefill.tokens_per_s_per_node={prefill!r}",
            "--set",
            f"fleet.decode.tokens_per_s_per_node={decode!r}",
            "--json",
        ).json
        for prefill, decode in ((ends.prefill_high, ends.decode_high), (ends.prefill_low, ends.decode_low))
    ]
    for name in FIGURES:
        whole = sorted((plans[0][name], found[name], plans[1][name]))
        assert (bands[name]["low"], bands[name]["high"]) == pytest.approx((whole[0], whole[2])), name


def test_bands_are_printed_and_stored_with_the_run(cli: Cli) -> None:
    found = cli("plan", *MODELLED, "--json").json
    shown = cli("plan", *MODELLED).out
    need = bands_of(found)["need_nodes"]
    assert f"needed at the busiest {need['value']:,.0f} ({need['low']:,.0f} to {need['high']:,.0f})" in shown
    assert "in parentheses, estimated" in shown
    rows = cli("sql", "--name", "run_bands", "--param", f"run_id={found['run_id']}", "--format", "json").json
    assert {row["figure"]: row for row in rows} == bands_of(found)


def test_where_slow_units_serve_nobody_in_time_a_band_has_no_upper_end(cli: Cli) -> None:
    # 17 ms are met by the model, and not by units that are a fifth slower
    found = cli("plan", *MODELLED, "--set", "slo.tpot_ms=17", "--set", "slo.max_shortfall_ratio=1", "--json").json
    bands = bands_of(found)
    assert bands["need_nodes"]["high"] is None
    assert bands["need_nodes"]["low"] < bands["need_nodes"]["value"]
    assert bands["training_node_hours"]["low"] == 0
    assert bands["shortfall_ratio"]["high"] == 1
    shown = cli("plan", *MODELLED, "--set", "slo.tpot_ms=17", "--set", "slo.max_shortfall_ratio=1").out
    assert "or more)" in shown
    assert "do not meet the targets" in shown


def test_a_comparison_shows_the_bands_of_each_policy(cli: Cli) -> None:
    asked = ("compare", *MODELLED, "--policies", "predictive,fixed", "--no-level", "--time-limit", "0")
    found = cli(*asked, "--json").json
    for policy in found["policies"]:
        bands = bands_of(policy)
        assert bands["mean_nodes"]["value"] == pytest.approx(policy["mean_nodes"])
    assert "90 % bands in parentheses" in cli(*asked).out
    assert all(policy["bands"] == [] for policy in cli(*asked[:1], *asked[3:], "--json").json["policies"])


def test_a_calibration_makes_the_band_a_measured_and_narrower_one(cli: Cli) -> None:
    Path("steps.csv").write_text("streams,kv_tokens,step_ms\n8,1000,23.5\n16,1500,28.5\n")
    node = ("--node", "h200", "--model", "qwen3-235b-a22b", "--gpus", "32")
    before = cli("capacity", *node, "--json").json["tpot_ms"]
    fitted = cli("capacity", "fit", "steps.csv", *node, "--out", "own.toml", "--json").json
    after = cli("capacity", *node, "--set", "calibration=own.toml", "--json").json["tpot_ms"]
    other = cli("capacity", *node[:4], "--gpus", "64", "--set", "calibration=own.toml", "--json").json["tpot_ms"]
    width = [band["high"] / band["low"] for band in (before, other, after)]
    assert width == sorted(width, reverse=True)
    assert [band["measured"] for band in (before, other, after)] == [False, False, True]
    assert after["high"] / after["value"] == pytest.approx(fitted["tpot_high"])

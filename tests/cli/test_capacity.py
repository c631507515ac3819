"""Capacity from the hardware up, as people ask for it: overview, curves, plans, caches on disk, mixed fleets."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planner
from planner.capacity.engines import Workload, imbalance_of, model_capacity, with_capacity
from planner.catalogue.scenarios import load_scenario
from planner.settings.scenario import Scenario
from planner.store import Store
from planner.studies.capacity.curves import sweep_batch, sweep_ep, sweep_hit, sweep_kv
from planner.studies.capacity.overview import describe_capacity
from planner.studies.capacity.study import EngineStudy, make_study
from tests.conftest import Cli

DAY = Workload.named("deepseek-2025-02-27")


def scenario(*overrides: str) -> Scenario:
    return load_scenario(None, list(overrides)).scenario


def study(target_ms: float | None = None) -> EngineStudy:
    return make_study("h800", "deepseek-r1", [], target_ms=target_ms)


def test_the_check_prints_every_published_point(cli: Cli) -> None:
    rows = cli("capacity", "--check", "--json").json["rows"]
    assert len(rows) == 9
    assert all(set(row) >= {"point", "target_ms", "model_ms", "relative_error"} for row in rows)
    shown = cli("capacity", "--check").out
    assert "SGLang EP72" in shown
    assert "reproduced, not predicted" in shown


def test_the_overview_adds_up(cli: Cli) -> None:
    found = cli("capacity", "--json").json
    memory = found["memory"]
    assert memory["weights_gb"] + memory["reserve_gb"] + memory["kv_gb"] == pytest.approx(memory["memory_gb"])
    decode, request, load = found["decode"], found["request"], found["workload"]
    assert decode["tpot_ms"] <= found["target_tpot_ms"]
    assert decode["streams"] <= memory["batch_cap"]
    nodes = load["input_tokens"] / found["prefill"]["tokens_per_s_per_node"]
    nodes += load["output_tokens"] / decode["tokens_per_s_per_node"]
    assert request["nodes_per_qps"] == pytest.approx(nodes)
    assert "671.0 B weights" in cli("capacity").out


@pytest.mark.parametrize("node", ["h800", "h100", "h200", "h20", "a100", "a800", "b200", "gb200", "mi300x"])
@pytest.mark.parametrize("model", ["deepseek-r1", "llama-3.1-70b", "qwen3-235b-a22b"])
def test_every_model_runs_on_every_node(cli: Cli, node: str, model: str) -> None:
    found = cli("capacity", "--node", node, "--model", model, "--tpot-ms", "100", "--json").json
    assert found["decode"]["tokens_per_s_per_node"] > 0
    assert found["prefill"]["missed_tokens_per_s_per_node"] > 0
    notes = " ".join(found["notes"])
    if model == "deepseek-r1":
        assert ("assumed to hold for other models" in notes) != (node in ("h800", "h100"))
    else:
        assert "`planner capacity fit` brings that to half" in notes
        assert ("kernels were not measured on" in notes) == (node in ("h800", "h20", "a800", "mi300x"))


def test_a_batch_curve_trades_latency_for_cost() -> None:
    rows = sweep_batch(study())
    assert rows[0].streams == 1
    latency, cost = [row.tpot_ms for row in rows], [row.usd_per_million_tokens for row in rows]
    assert latency == sorted(latency)
    assert cost == sorted(cost, reverse=True)


def test_a_longer_context_never_raises_the_throughput_at_a_target() -> None:
    rows = sweep_kv(study(target_ms=30.0))
    rates = [row.tokens_per_s_per_node for row in rows]
    assert rates == sorted(rates, reverse=True)
    assert rows[0].streams > 0
    assert (rows[-1].streams, rows[-1].usd_per_million_tokens) == (0, None)


def test_hits_make_input_cheaper() -> None:
    rows = sweep_hit(study())
    assert rows[0].hit_ratio == 0
    assert rows[0].tokens_per_s_per_node == rows[0].missed_tokens_per_s_per_node
    costs = [row.usd_per_million_tokens for row in rows]
    assert costs == sorted(costs, reverse=True)


def test_an_ep_size_that_cannot_serve_says_why() -> None:
    rows = {row.ep: row for row in sweep_ep(study())}
    assert "does not fit H800" in rows[8].why
    assert rows[8].reason == "memory"
    assert rows[144].tokens_per_s_per_node == describe_capacity(study()).decode.tokens_per_s_per_node
    assert rows[144].redundant_experts == 32
    assert all(row.streams == 0 or ("limited by" in row.why and row.reason is None) for row in rows.values())


@pytest.mark.parametrize("what", ["batch", "kv", "hit", "ep"])
def test_curves_are_printed_and_drawn(cli: Cli, tmp_path: Path, what: str) -> None:
    found = cli("capacity", "--sweep", what, "--json").json
    assert found["sweep"] == what
    assert len(found["rows"]) > 5
    for ending, head in ((".svg", b"<svg"), (".png", b"\x89PNG"), (".html", b"<!DOCTYPE html>")):
        path = tmp_path / f"curve{ending}"
        assert cli("capacity", "--sweep", what, "--chart", str(path)).code == 0
        assert path.read_bytes().lstrip().startswith(head)


@pytest.mark.parametrize(
    ("arguments", "cure"),
    [
        (("--sweep", "nope"), "use --sweep batch, kv, hit, ep"),
        (("--node", "nope"), 'no hardware "nope": give one of a100'),
        (("--model", "nope"), 'no model "nope"'),
        (("--weights", "int3"), "fleet.engine.weights"),
        (("--gpus", "100"), "EP100 does not divide"),
        (("--gpus", "8"), "does not fit H800"),
        (("--gpus", "0"), "--gpus is 0; give the GPUs of a decode unit, from 1 to 1,000,000"),
        (("--gpus", "143", "--set", "tensor_parallel=2"), "is not a whole number of groups"),
        (("--kv-tokens", "-5"), "kv_tokens must be above 0"),
        (("--tpot-ms", "5"), "no batch of deepseek-r1 on H800 meets 5 ms"),
        (("--tpot-ms", "0"), "above 0 ms"),
        (("--hit", "1"), "at least 0 and below 1"),
        (("--set", "batch=3"), "is not a known field"),
        (("--set", "balancer=nope"), '"nope" is not a measured balancer'),
        (("--chart", "x.svg"), "add --sweep"),
        (("--sweep", "kv", "--chart", "x.doc"), "use .svg, .png or .html for --chart"),
        (("--sweep", "kv", "--chart", "no/x.svg"), "is not a folder"),
        (("--model", "llama-3.1-70b", "--sweep", "ep"), "is dense"),
        (("--trace", "nope"), "no store"),
    ],
)
def test_a_wrong_option_gives_one_line(cli: Cli, arguments: tuple[str, ...], cure: str) -> None:
    result = cli("capacity", *arguments)
    assert result.code in (1, 2)
    assert result.err.count("\n") == 1
    assert cure in result.err
    assert not result.out


def test_own_hardware_and_models_are_toml_files(cli: Cli, tmp_path: Path) -> None:
    own = Path(planner.__file__).parent / "catalogue" / "data" / "hardware" / "h800.toml"
    faster = tmp_path / "own.toml"
    faster.write_text(own.read_text().replace("gemm_tb_s = 2.4", "gemm_tb_s = 24.0"))
    plain, quick = (
        cli("capacity", "--node", node, "--json").json["decode"]["tokens_per_s_per_node"]
        for node in ("h800", str(faster))
    )
    assert quick > plain
    faster.write_text("name = 1")
    assert cli("capacity", "--node", str(faster)).err.count("\n") == 1


def test_modelled_capacities_replace_the_observed_ones_with_their_provenance() -> None:
    base = scenario("fleet.capacity=modelled")
    modelled = model_capacity(base.fleet, base.slo.tpot_ms, DAY)
    sized = with_capacity(base, modelled)
    assert sized.fleet.decode.tokens_per_s_per_node == modelled.decode_tokens_per_s
    assert sized.fleet.prefill.tokens_per_s_per_node == modelled.prefill_tokens_per_s
    assert sized.provenance["fleet.decode.tokens_per_s_per_node"].startswith("computed: modelled deepseek-r1 on h800")
    assert sized.fleet.nodes == base.fleet.nodes


def test_a_worse_balancer_leaves_less_capacity() -> None:
    """All ranks wait for the one with the most KV or streams, so both imbalances of the balancer enter the step."""
    rates = {}
    for balancer in ("random", "round-robin", "power-of-two", "join-shortest-queue", "least-kv", "two-key"):
        base = scenario(f"fleet.engine.balancer={balancer}")
        rates[balancer] = model_capacity(base.fleet, 50, DAY).decode_tokens_per_s
    assert rates["random"] < rates["round-robin"] < rates["power-of-two"] < rates["two-key"]
    assert rates["least-kv"] < rates["two-key"]
    at, _ = imbalance_of(scenario().fleet.engine, 144)
    assert float(at(np.array(88.0)).kv) == pytest.approx(1.087, abs=0.01)


def test_a_plan_from_physics_is_near_the_published_day(planned: Store, cli: Cli) -> None:
    found = cli("plan", "--set", "fleet.capacity=modelled", "--json").json
    assert found["mean_nodes"] == pytest.approx(226.75, rel=0.02)
    record = cli("run", "show", found["run_id"], "--json").json
    assert record["run_id"] == found["run_id"]


def test_the_reference_shows_both_capacities_with_residuals(planned: Store, cli: Cli) -> None:
    rows = {row["quantity"]: row for row in cli("reference", "--json").json["rows"]}
    assert rows["mean_nodes"]["computed"] == 226.75
    assert abs(rows["modelled_mean_nodes"]["relative_error"]) < 0.02
    assert abs(rows["modelled_decode_capacity_tokens_per_s_per_node"]["relative_error"]) < 0.06
    assert rows["modelled_prefill_capacity_tokens_per_s_per_node"]["kind"] == "fitted"
    again = {
        row["quantity"]: row for row in cli("reference", "--set", "fleet.capacity=modelled", "--json").json["rows"]
    }
    assert again == rows


def test_a_model_that_does_not_fit_its_units_is_no_valid_scenario(cli: Cli) -> None:
    result = cli("scenario", "validate", "--set", "fleet.capacity=modelled", "--set", "fleet.engine.weights=bf16")
    assert result.code == 2
    assert "does not fit" in result.out
    plan = cli("plan", "--set", "fleet.capacity=modelled", "--set", "fleet.gpus_per_node=4")
    assert plan.err.count("\n") == 1


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 5000), st.integers(1, 3000)), min_size=1, max_size=12))
@settings(max_examples=20)
def test_the_workload_of_a_trace_is_what_its_requests_add_up_to(
    cli: Cli, tmp_path: Path, requests: list[tuple[int, int, int]]
) -> None:
    """m missed after h hit tokens attend to h + m/2 in the mean; output tokens to i + o/2."""
    log = tmp_path / "log.csv"
    lines = [f"2025-03-01T00:00:{n:02d}Z,{m + h},{h},{o}" for n, (m, h, o) in enumerate(requests)]
    log.write_text("arrival,input_tokens,cached_input_tokens,output_tokens\n" + "\n".join(lines) + "\n")
    Path("planner.duckdb").unlink(missing_ok=True)
    assert cli("trace", "import", str(log), "--format", "csv", "--name", "log").code == 0
    (row,) = cli("sql", "--name", "trace_workload", "--param", "trace_id=1", "--format", "json").json
    missed, hit, out = (np.array(column, float) for column in zip(*requests, strict=True))
    assert row["missed_context_tokens"] == pytest.approx((missed * (hit + missed / 2)).sum() / missed.sum())
    assert row["hit_ratio"] == pytest.approx(hit.sum() / (missed + hit).sum())
    assert row["kv_tokens"] == pytest.approx((out * (missed + hit + out / 2)).sum() / out.sum())


def blocks_log(path: Path) -> Path:
    """Ten prompts of three 512-token blocks: five of one kind, five of another, in turn."""
    rows = [
        {
            "timestamp": 1000 * n,
            "input_length": 1536,
            "output_length": 10,
            "hash_ids": [n % 2 * 10 + k for k in range(3)],
        }
        for n in range(10)
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def test_a_cache_on_disk_by_hand(cli: Cli, tmp_path: Path) -> None:
    """Six blocks hold both prompts: eight of ten are found whole. Half the room finds nothing, since they alternate."""
    cli("trace", "import", str(blocks_log(tmp_path / "t.jsonl")), "--format", "mooncake", "--name", "t")
    found = cli("capacity", "cache", "t", "--input-tokens-per-s", "1000", "--json").json
    assert found["largest_hit_ratio"] == pytest.approx(0.8)
    first, last = found["rows"][0], found["rows"][-1]
    assert first["hit_ratio"] == 0
    assert last["hit_ratio"] == pytest.approx(0.8)
    assert last["read_gb_s"] == pytest.approx(800 * 70_272 / 1e9)
    assert last["written_gb_s"] == pytest.approx(200 * 70_272 / 1e9)
    assert last["prefill_tokens_per_s_per_node"] == pytest.approx(5 * first["prefill_tokens_per_s_per_node"])
    times = found["times_the_trace"]
    assert last["capacity_tb"] == pytest.approx(round(6 * times) * 512 * 70_272 / 1e12)
    assert "80.0% hits" in cli("capacity", "cache", "t").out


def test_the_real_mooncake_trace_has_its_reference_hit_ratio_on_disk(cli: Cli, shared_traces: Path) -> None:
    (path,) = (shared_traces / "mooncake_fast25").glob("*.jsonl")
    cli("trace", "import", str(path), "--format", "mooncake", "--name", "m")
    found = cli("capacity", "cache", "m", "--json").json
    assert found["rows"][-1]["hit_ratio"] == pytest.approx(39_852_661 / 61_194_628)
    ratios = [row["hit_ratio"] for row in found["rows"]]
    assert ratios == sorted(ratios)


@pytest.mark.parametrize("arguments", [("nope",), ("t", "--disk-gb-s", "0"), ("t", "--input-tokens-per-s", "-1")])
def test_a_cache_that_cannot_be_sized_gives_one_line(cli: Cli, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    cli("trace", "import", str(blocks_log(tmp_path / "t.jsonl")), "--format", "mooncake", "--name", "t")
    result = cli("capacity", "cache", *arguments)
    assert result.code in (1, 2)
    assert result.err.count("\n") == 1


def test_a_trace_without_blocks_has_no_cache_to_size(planned: Store, cli: Cli) -> None:
    name = cli("trace", "list", "--json").json[0]["trace"]
    assert "has no prefix blocks" in cli("capacity", "cache", name).err


def test_a_rack_of_linked_gpus_is_not_left_by_default(cli: Cli) -> None:
    assert cli("capacity", "--node", "gb200", "--json").json["decode"]["gpus"] == 72


def test_a_small_batch_does_not_overlap(cli: Cli) -> None:
    """A target that only few streams meet: overlap would cost more than it gains."""
    auto, on = (
        cli("capacity", "--kv-tokens", "24400", "--tpot-ms", "40", "--set", f"overlap={choice}", "--json").json
        for choice in ("auto", "on")
    )
    assert auto["decode"]["tokens_per_s_per_node"] > 1.3 * on["decode"]["tokens_per_s_per_node"]


def test_prefill_has_to_fit_too(cli: Cli) -> None:
    """Unless it is set, a unit of 32 GPUs is then as large as one of decode."""
    told = "--set", "redundant_experts=32"
    assert "prefill unit: deepseek-r1 in bf16 does not fit" in cli("capacity", "--weights", "bf16", *told).err
    assert cli("capacity", "--weights", "bf16", "--json").json["prefill"]["gpus"] == 144


def test_a_pool_smaller_than_a_unit_serves_nothing(cli: Cli, tmp_path: Path) -> None:
    shipped = Path(planner.__file__).parent / "catalogue" / "data" / "mixes" / "h800-a100-h20.toml"
    own = tmp_path / "own.toml"
    own.write_text(shipped.read_text().replace("nodes = 100", "nodes = 1"))
    fits = cli("capacity", "route", str(own), "--json").json["fits"]
    assert all("need 22 nodes" in fit["why"] for fit in fits if fit["node"] == "h20")


def test_classes_go_where_they_are_served_at_the_lowest_cost(cli: Cli) -> None:
    found = cli("capacity", "route", "--json").json
    cheapest, even = found["cheapest"], found["proportional"]
    assert cheapest["usd_per_hour"] < even["usd_per_hour"]
    for pool in cheapest["pools"]:
        assert pool["nodes_used"] <= pool["nodes"] * (1 + 1e-9)
    for entry in cheapest["classes"]:
        assert sum(entry["requests_per_s_by_pool"].values()) == pytest.approx(entry["requests_per_s"])
        for node, rate in entry["requests_per_s_by_pool"].items():
            (fit,) = [item for item in found["fits"] if (item["class"], item["node"]) == (entry["name"], node)]
            assert rate == 0 or fit["nodes_per_request_s"] is not None
    shown = cli("capacity", "route").out
    assert "limited by" in shown
    assert "one more saves/h" in shown


def test_a_mix_that_cannot_be_served_gives_one_line(cli: Cli, tmp_path: Path) -> None:
    shipped = Path(planner.__file__).parent / "catalogue" / "data" / "mixes" / "h800-a100-h20.toml"
    own = tmp_path / "own.toml"
    for old, new, cure in (
        ("requests_per_s = 400.0", "requests_per_s = 40000.0", "the pools serve at most"),
        ("ttft_ms = 5000.0", "ttft_ms = 1.0", 'no node type can serve class "agent"'),
        ("cached_input_tokens = 1200.0", "cached_input_tokens = 2000.0", "all input is cached"),
        ('hardware = "a100"', 'hardware = "nope"', 'no hardware "nope"'),
    ):
        own.write_text(shipped.read_text().replace(old, new))
        result = cli("capacity", "route", str(own))
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert cure in result.err


def test_rates_of_other_built_in_hardware_are_noted_and_own_rates_are_taken_at_their_word(cli: Cli) -> None:
    own = 'name = "ours"\ndescription = "-"\n[reserved]\nusd_per_gpu_hour = 2.1\nkind = "assumed"\nsource = "-"\n'
    Path("ours.toml").write_text(own)
    modelled = ("plan", "--json", "--set", "fleet.capacity=modelled", "--set", "fleet.engine.hardware=h200")
    noted = cli(*modelled).json["notes"]
    assert any(
        note.startswith("nodes of H200 are priced at the GPU rates of h800, as in the built-in scenario")
        for note in noted
    )
    priced = cli(*modelled, "--set", "economics.gpu_rates=ours.toml", "--set", "economics.gpu_rate=reserved").json
    assert not [note for note in priced["notes"] if "GPU rates" in note]

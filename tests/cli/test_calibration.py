"""Fitting an engine to measured times: what was put in comes out, one point helps, and nonsense is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.catalogue.read import engine_node, engine_profile, model
from planner.core.fleet.calibration import Calibration, calibrated, fit
from planner.core.fleet.decode import step_us
from planner.core.fleet.engine import Engine, Scale
from planner.core.fleet.serving import Load, serve
from planner.errors import UsageError
from planner.units import Floats
from tests.conftest import Cli

EP144 = Engine(
    model=model("deepseek-r1"),
    hardware=engine_node("h800"),
    weights="fp8",
    profile=engine_profile("deepseek-ep"),
    expert_parallel=144,
    redundant_experts=32,
    overlap="on",
)
SERVER = Engine(
    model=model("llama-3.1-70b"),
    hardware=engine_node("h200"),
    weights="fp8",
    profile=engine_profile("vllm"),
    tensor_parallel=4,
)
BATCHES, CONTEXTS = np.array([8, 32, 64, 96, 128, 64]), np.array([1000, 4000, 2000, 5000, 3000, 8000])
USERS, INPUTS = np.array([1.0, 4.0, 16.0, 64.0, 64.0, 8.0]), np.array([1000.0, 8000, 1000, 1000, 4000, 2000])


def steps(scale: Scale, engine: Engine = EP144) -> Floats:
    return step_us(replace(engine, scale=scale), BATCHES, CONTEXTS) / 1e3


def of_steps(engine: Engine) -> Floats:
    return step_us(engine, BATCHES, CONTEXTS) / 1e3


def of_server(engine: Engine) -> Floats:
    return serve(engine, 4, Load(concurrency=USERS, input_tokens=INPUTS, output_tokens=500.0)).tpot_us / 1e3


@given(st.floats(0.75, 1.3), st.floats(0.75, 1.3), st.floats(0.75, 1.3))
@settings(max_examples=6, deadline=None)
def test_times_made_by_the_model_are_given_back(kernels: float, overheads: float, prompts: float) -> None:
    made = of_server(replace(SERVER, scale=Scale(kernels=kernels, overheads=overheads, prompts=prompts)))
    found = fit(SERVER, of_server, made)
    assert found.model == pytest.approx(made, rel=0.08)
    assert found.rms < 0.04


def test_points_left_out_are_predicted_worse_than_points_fitted() -> None:
    noise = np.random.default_rng(1).normal(1, 0.03, len(BATCHES))
    found = fit(EP144, of_steps, steps(Scale()) * noise)
    assert found.left_out_rms is not None
    assert 0 < found.rms < found.left_out_rms
    assert found.model == pytest.approx(steps(found.scale))


def test_one_point_moves_all_times_alike_and_says_nothing_of_points_left_out() -> None:
    slow = of_server(SERVER)[:1] * 1.3
    found = fit(SERVER, lambda engine: of_server(engine)[:1], slow)
    assert found.left_out_rms is None
    after = of_server(calibrated(SERVER, found)) / of_server(SERVER)
    assert after[0] == pytest.approx(1.3, rel=0.03)
    assert after == pytest.approx(np.full(len(after), 1.3), rel=0.15)


@given(st.floats(0.7, 1.5), st.integers(0, 5))
@settings(max_examples=5, deadline=None)
def test_one_point_of_a_system_that_is_slower_throughout_helps_all_others(factor: float, at: int) -> None:
    made = of_server(replace(SERVER, scale=Scale(kernels=factor, overheads=factor)))
    found = fit(SERVER, lambda engine: of_server(engine)[[at]], made[[at]])
    before, after = (np.abs(np.log(of_server(e) / made)).max() for e in (SERVER, calibrated(SERVER, found)))
    assert after <= before + 1e-9


def test_an_outlier_moves_a_fit_less_than_it_would_alone() -> None:
    made = of_steps(EP144)
    odd = made.copy()
    odd[2] *= 3
    found = fit(EP144, of_steps, odd)
    others = np.delete(found.model / made, 2)
    assert others == pytest.approx(np.ones(len(others)), abs=0.12)


def test_a_factor_far_from_what_was_seen_is_told_by_its_deviation() -> None:
    found: Calibration = fit(EP144, of_steps, steps(Scale(kernels=2.4, overheads=2.4)))
    assert found.deviations["all"] > 2.5
    assert all(abs(away) < 2.5 for name, away in found.deviations.items() if name != "all")


@pytest.mark.parametrize(
    ("measured", "cure"),
    [
        ([], "numbers above 0"),
        ([9, 9, 0], "numbers above 0"),
        ([9, 9, float("nan")], "numbers above 0"),
        ([0.05] * 6, "times those of the model; check their unit"),
        ([50_000.0] * 6, "times those of the model; check their unit"),
    ],
)
def test_times_that_say_nothing_are_refused(measured: list[float], cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        fit(EP144, of_steps, np.array(measured, np.float64))


EVEN = tuple(
    word
    for item in ("kv_imbalance=1", "expert_imbalance=1", "dispatch_imbalance=1", "overlap=on")
    for word in ("--set", item)
)
"""What the steps of `measured` were made with."""


def measured(folder: Path, factor: float = 1.2) -> Path:
    rows = zip(BATCHES, CONTEXTS, steps(Scale(kernels=factor, overheads=factor)), strict=True)
    path = folder / "steps.csv"
    path.write_text("streams,kv_tokens,step_ms\n" + "".join(f"{b},{c},{float(s)}\n" for b, c, s in rows))
    return path


def test_the_command_fits_a_file_and_keeps_it_for_plans(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "own.toml"
    found = cli("capacity", "fit", str(measured(tmp_path)), *EVEN, "--out", str(out), "--json").json
    assert found["kernels"] == pytest.approx(1.2, rel=0.03)
    assert found["overheads"] == pytest.approx(1.2, rel=0.05)
    assert found["rms"] < 0.01
    plain, own = (
        cli("capacity", *more, "--kv-tokens", "4000", "--json").json for more in ((), ("--set", f"calibration={out}"))
    )
    assert own["decode"]["streams"] < plain["decode"]["streams"]
    assert "calibrated by" in " ".join(own["notes"])
    assert "rms 0." in cli("capacity", "fit", str(measured(tmp_path)), *EVEN).out


def test_a_calibration_leaves_a_level_of_prefill_alone_that_is_fitted_by_itself(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "own.toml"
    found = cli("capacity", "fit", str(measured(tmp_path)), "--out", str(out), "--json").json
    plain, own = (
        cli("capacity", *more, "--kv-tokens", "2000", "--json").json for more in ((), ("--set", f"calibration={out}"))
    )
    assert own["prefill"] == plain["prefill"]
    rows = cli("capacity", "--sweep", "batch", "--kv-tokens", "2000", "--set", f"calibration={out}", "--json").json
    (point,) = [p for p in found["points"] if (p["streams"], p["input_tokens"]) == (64, 2000)]
    near = min(rows["rows"], key=lambda row: abs(row["streams"] - 64))
    assert near["step_ms"] == pytest.approx(point["model_ms"], rel=0.02)


def test_a_calibration_of_a_server_holds_for_its_prompts_too(cli: Cli, tmp_path: Path) -> None:
    """And for another number of GPUs, which is what carrying over means."""
    run = tmp_path / "run.csv"
    run.write_text("isl,osl,concurrency,tpot_ms,ttft_ms\n1000,500,8,24.0,300\n")
    out = tmp_path / "own.toml"
    of = ("--node", "h100", "--model", "llama-3.1-70b", "--engine", "sglang")
    cli("capacity", "fit", str(run), *of, "--out", str(out))
    plain, own, smaller = (
        cli("capacity", *of, *more, "--json").json
        for more in (
            (),
            ("--set", f"calibration={out}"),
            ("--set", f"calibration={out}", "--set", "tensor_parallel=4", "--gpus", "4"),
        )
    )
    for part, key in (("prefill", "missed_tokens_per_s_per_node"), ("decode", "tokens_per_s_per_node")):
        assert own[part][key] < plain[part][key]
    assert smaller["tensor_parallel"] == 4
    assert "carried over to gpus 4 (8 measured), tensor_parallel 4 (8 measured)" in " ".join(smaller["notes"])
    assert "carried over" not in " ".join(own["notes"])


def test_a_file_of_an_older_fit_gives_what_it_gave(cli: Cli, tmp_path: Path) -> None:
    """Four overheads and a range in place of factors."""
    old = tmp_path / "old.toml"
    old.write_text(
        'model = "deepseek-r1"\nhardware = "H800"\nweights = "fp8"\nkv = "bf16"\ngpus = 144\ntensor_parallel = 1\n'
        'redundant_experts = 32\npoints = 6\nsource = "fitted: to steps"\nrms = 0.01\nleft_out_rms = 0.02\n'
        "kernel_factor = 1.0\nlayer_us = 60.0\nrow_us = 0.6\nhost_us = 1500.0\nleast_streams = 8.0\n"
        "most_streams = 128.0\nleast_kv_tokens = 1000.0\nmost_kv_tokens = 8000.0\n"
    )
    asked = ("--kv-tokens", "4000", "--json")
    plain, own = (cli("capacity", *more, *asked).json for more in ((), ("--set", f"calibration={old}")))
    assert own["decode"]["tokens_per_s_per_node"] == pytest.approx(plain["decode"]["tokens_per_s_per_node"])
    beyond = cli("capacity", "--kv-tokens", "20000", "--set", f"calibration={old}")
    assert (beyond.code, beyond.err.count("\n")) == (2, 1)
    old.write_text(old.read_text().replace("row_us = 0.6\n", ""))
    half = cli("capacity", "--set", f"calibration={old}")
    assert (half.code, half.err.count("\n")) == (2, 1)
    assert "no row_us; fit it again" in half.err


def test_a_calibration_of_another_model_node_or_engine_is_refused(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "own.toml"
    cli("capacity", "fit", str(measured(tmp_path)), "--out", str(out))
    for other, why in (
        (("--node", "h200", "--engine", "deepseek-ep"), "fitted to hardware H800, but the engine has H200"),
        (("--model", "deepseek-v3", "--engine", "deepseek-ep"), "fitted to model deepseek-r1"),
        (("--engine", "vllm"), "fitted to engine deepseek-ep, but the engine has vllm"),
    ):
        refused = cli("capacity", *other, "--set", f"calibration={out}")
        assert (refused.code, refused.err.count("\n")) == (2, 1)
        assert why in refused.err
    missing = cli("capacity", "--set", f"calibration={tmp_path / 'no.toml'}")
    assert (missing.code, missing.err.count("\n")) == (2, 1)


def test_files_that_cannot_be_fitted_give_one_line(cli: Cli, tmp_path: Path) -> None:
    odd = tmp_path / "odd.json"
    odd.write_text(json.dumps([{"streams": 1, "kv_tokens": 10, "step_ms": 0.02}]))
    for arguments in ((str(odd),), (str(tmp_path / "none.csv"),), (str(odd), "--server-gpus", "0")):
        result = cli("capacity", "fit", *arguments)
        assert result.code in (1, 2)
        assert result.err.count("\n") == 1
    unwritable = cli("capacity", "fit", str(measured(tmp_path)), "--out", str(tmp_path / "no" / "own.toml"))
    assert "cannot be written" in unwritable.err


RUN = {"isl": 1000, "osl": 200, "concurrency": 8, "tpot_ms": 9.0}
ON_H200 = (
    "--node",
    "h200",
    "--model",
    "llama-3.1-70b",
    "--weights",
    "fp8",
    "--set",
    "tensor_parallel=4",
    "--gpus",
    "4",
)


@pytest.mark.parametrize(
    ("points", "line"),
    [
        ([{**RUN, "tpot_ms": 9000}], "calibration: measured times are 6[0-9]{2} times those of the model; check their"),
        (
            [RUN, RUN, {**RUN, "tpot_ms": 9000}],
            r"odd.json, entry 3: tpot_ms is 9000, which is .* check its unit \(ms\)",
        ),
        ([{**RUN, "concurrency": None}], "odd.json, entry 1: tells no concurrency, and is left out; give concurrency"),
        ([{"streams": 8, "kv_tokens": 1e9, "step_ms": 9}], "odd.json, entry 1: decode step: kv_tokens must be above 0"),
        ([{"streams": 1e9, "kv_tokens": 100, "step_ms": 9}], "odd.json, entry 1: decode step: streams must be above 0"),
    ],
)
def test_the_point_that_cannot_be_fitted_is_named_and_nothing_is_written(
    cli: Cli, tmp_path: Path, points: list[dict[str, object]], line: str
) -> None:
    (tmp_path / "odd.json").write_text(json.dumps(points))
    result = cli("capacity", "fit", str(tmp_path / "odd.json"), *ON_H200, "--out", str(tmp_path / "own.toml"))
    assert result.code in (1, 2)
    assert result.err.count("\n") == 1
    assert re.search(line, result.err), result.err
    assert not (tmp_path / "own.toml").exists()


def test_steps_with_prompts_in_them_are_told_from_steps_alone(cli: Cli, tmp_path: Path) -> None:
    """Three mixes of one server: fitted within 4 % as servings, not as steps, and the fit says why."""
    mixes = [(1024, 1024), (1024, 8192), (8192, 1024)]
    told = [
        {"isl": inputs, "osl": outputs, "concurrency": users, "tpot_ms": float(served) / 1e3}
        for inputs, outputs in mixes
        for users in (4, 16, 64)
        for served in [serve(SERVER, 4, Load(concurrency=users, input_tokens=inputs, output_tokens=outputs)).tpot_us]
    ]
    as_steps = [
        {
            "streams": each["concurrency"] / 4,
            "kv_tokens": each["isl"] + each["osl"] / 2,
            "step_ms": each["tpot_ms"],
        }
        for each in told
    ]
    found = []
    for points in (told, as_steps):
        (tmp_path / "run.json").write_text(json.dumps(points))
        found.append(cli("capacity", "fit", str(tmp_path / "run.json"), *ON_H200, "--json").json)
    assert [each["rms"] < 0.04 for each in found] == [True, True]
    (said,) = [note for note in found[1]["notes"] if note.startswith("steps grow with streams")]
    # 1,024 of 1,536 tokens, 1,024 of 5,120 and 8,192 of 8,704 were prompt
    assert "inferred: 67.0% of 1,536 tokens, 20.0% of 5,120 tokens, 94.0% of 8,704 tokens; give isl, osl" in said
    assert not [note for note in found[0]["notes"] if note.startswith("steps")]


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_taken_for_prompts(cli: Cli, tmp_path: Path, seed: int) -> None:
    """Steps of decode alone that differ by a quarter, five batches of each of three contexts."""
    noise = np.random.default_rng(seed).lognormal(0, 0.25, 15)
    streams, contexts = np.tile([1, 2, 4, 8, 16], 3), np.repeat([1500, 5000, 9000], 5)
    steps = (6 + 0.4 * streams + streams * contexts / 20_000) * noise
    path = tmp_path / "steps.csv"
    rows = [f"{n},{kv},{ms}" for n, kv, ms in zip(streams, contexts, steps, strict=True)]
    path.write_text("streams,kv_tokens,step_ms\n" + "\n".join(rows) + "\n")
    fitted = cli("capacity", "fit", str(path), *ON_H200, "--json").json
    assert not any("inferred" in note for note in fitted["notes"])
    assert any(note.startswith("steps differ from the fit") for note in fitted["notes"])
    # the band is at least as wide as its own points are apart
    assert np.log(fitted["tpot_high"]) >= 1.6 * np.log1p(fitted["left_out_rms"])


def test_the_same_condition_measured_again_counts_once(cli: Cli, tmp_path: Path) -> None:
    found = []
    for copies in (1, 8):
        path = tmp_path / f"{copies}.csv"
        path.write_text("streams,kv_tokens,step_ms\n" + copies * "8,2000,12\n")
        found.append(cli("capacity", "fit", str(path), *ON_H200, "--json").json)
    assert [(len(each["points"]), each["conditions"]) for each in found] == [(1, 1), (8, 1)]
    assert found[0]["tpot_high"] == found[1]["tpot_high"]


def test_steps_that_differ_and_tell_of_no_prompts_are_said_to(cli: Cli, tmp_path: Path) -> None:
    """A step of every context tells nothing of how steps grow with streams."""
    path = tmp_path / "steps.csv"
    path.write_text("streams,kv_tokens,step_ms\n1,1000,12\n2,2000,7\n4,3000,19\n8,4000,11\n")
    notes = cli("capacity", "fit", str(path), *ON_H200, "--json").json["notes"]
    (said,) = [note for note in notes if note.startswith("steps differ from the fit by more than")]
    assert "give isl, osl, concurrency and tpot_ms" in said


def test_a_median_that_stands_in_for_a_mean_is_said_beside_the_fit(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    runs = [
        {
            "completed": 10,
            "total_input_tokens": 10 * (context - 50),
            "total_output_tokens": 1000,
            "output_throughput": batch / (float(step) / 1e3) * 100 / 99,
            "median_tpot_ms": float(step),
        }
        for batch, context, step in zip(BATCHES, CONTEXTS, steps(Scale()), strict=True)
    ]
    path.write_text("".join(json.dumps(run, default=int) + "\n" for run in runs))
    found = cli("capacity", "fit", str(path), *EVEN, "--json").json
    assert [point["streams"] for point in found["points"]] == pytest.approx(BATCHES)
    assert any("tpot_ms is a median: the file has no mean" in note for note in found["notes"])
    assert "tpot_ms is a median" in cli("capacity", "fit", str(path), *EVEN).out

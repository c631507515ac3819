"""Fitting the decode model to measured steps: what was put in comes out, and what cannot be told is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.catalogue.read import hardware, model
from planner.core.fleet.calibration import calibrated, fit
from planner.core.fleet.decode import step_us
from planner.core.fleet.engine import Engine, Overheads
from planner.errors import UsageError
from tests.conftest import Cli

EP144 = Engine(
    model=model("deepseek-r1"),
    hardware=hardware("h800"),
    weights="fp8",
    expert_parallel=144,
    redundant_experts=32,
    overlap="on",
)
BATCHES, CONTEXTS = np.array([8, 32, 64, 96, 128, 64]), np.array([1000, 4000, 2000, 5000, 3000, 8000])


def steps(overheads: Overheads) -> np.ndarray:
    return step_us(replace(EP144, overheads=overheads), BATCHES, CONTEXTS) / 1e3


@given(st.floats(0.5, 3), st.floats(0, 200), st.floats(0, 3))
@settings(max_examples=50)
def test_steps_made_by_the_model_give_back_what_made_them(factor: float, layer: float, row: float) -> None:
    made = Overheads(layer, row, kernel_factor=factor)
    found = fit(EP144, BATCHES, CONTEXTS, steps(made))
    assert found.overheads.kernel_factor == pytest.approx(factor, rel=1e-6)
    assert found.overheads.layer_us == pytest.approx(layer, abs=1e-4)
    assert found.overheads.row_us == pytest.approx(row, abs=1e-4)
    assert found.rms < 1e-9


def test_points_left_out_are_predicted_worse_than_points_fitted() -> None:
    noise = np.random.default_rng(1).normal(1, 0.03, len(BATCHES))
    found = fit(EP144, BATCHES, CONTEXTS, steps(Overheads()) * noise)
    assert 0 < found.rms < found.left_out_rms
    assert found.model_ms == pytest.approx(steps(found.overheads))


def test_no_unknown_comes_out_negative() -> None:
    """Steps far shorter than the kernels alone would take: both overheads end at nothing."""
    found = fit(EP144, BATCHES, CONTEXTS, steps(Overheads(0, 0, kernel_factor=0.3)))
    assert (found.overheads.layer_us, found.overheads.row_us) == pytest.approx((0, 0), abs=1e-6)
    assert found.overheads.kernel_factor == pytest.approx(0.3)


def test_a_calibrated_engine_answers_only_between_its_points() -> None:
    engine = calibrated(EP144, fit(EP144, BATCHES, CONTEXTS, steps(Overheads())))
    assert float(step_us(engine, 64, 4000)) == pytest.approx(float(step_us(EP144, 64, 4000)))
    for streams, kv_tokens in ((4, 4000), (200, 4000), (64, 500), (64, 9000)):
        with pytest.raises(UsageError, match="decode step"):
            step_us(engine, streams, kv_tokens)


@pytest.mark.parametrize(
    ("streams", "kv_tokens", "step_ms", "cure"),
    [
        ([1, 2, 3], [1, 1, 1], [9, 9, 9], "3 points for three unknowns; measure at least 4"),
        ([8] * 4, [1000, 2000, 3000, 4000], [30, 31, 32, 33], "all points have the same batch"),
        ([1, 2, 3, 0], [1] * 4, [9] * 4, "numbers above 0"),
        ([1, 2, 3, 4], [1] * 4, [9, 9, 9, float("nan")], "numbers above 0"),
        ([1, 2, 3, 4], [1] * 4, [0.9] * 4, "shorter than the host's 1.5 ms; check the unit"),
        ([1, 2], [1], [9, 9], "differ in number"),
    ],
)
def test_points_that_say_too_little_are_refused(
    streams: list[float], kv_tokens: list[float], step_ms: list[float], cure: str
) -> None:
    with pytest.raises(UsageError, match=cure):
        fit(EP144, streams, kv_tokens, step_ms)


EVEN = tuple(
    word
    for item in ("kv_imbalance=1", "expert_imbalance=1", "dispatch_imbalance=1", "overlap=on")
    for word in ("--set", item)
)
"""What the steps of `measured` were made with."""


def measured(folder: Path) -> Path:
    rows = zip(BATCHES, CONTEXTS, steps(Overheads(100, 1.0, kernel_factor=1.2)), strict=True)
    path = folder / "steps.csv"
    path.write_text("streams,kv_tokens,step_ms\n" + "".join(f"{b},{c},{float(s)}\n" for b, c, s in rows))
    return path


def test_the_command_fits_a_file_and_keeps_it_for_plans(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "own.toml"
    found = cli("capacity", "fit", str(measured(tmp_path)), *EVEN, "--out", str(out), "--json").json
    assert found["kernel_factor"] == pytest.approx(1.2)
    assert found["layer_us"] == pytest.approx(100)
    assert found["rms"] < 1e-6
    plain, own = (
        cli("capacity", *more, "--kv-tokens", "4000", "--json").json for more in ((), ("--set", f"calibration={out}"))
    )
    assert own["decode"]["streams"] < plain["decode"]["streams"]
    assert "calibrated by" in " ".join(own["notes"])
    assert "rms 0.0%" in cli("capacity", "fit", str(measured(tmp_path)), *EVEN).out


def test_a_calibration_of_decode_leaves_prefill_alone_and_gives_back_its_points(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "own.toml"
    found = cli("capacity", "fit", str(measured(tmp_path)), "--out", str(out), "--json").json
    plain, own = (
        cli("capacity", *more, "--kv-tokens", "2000", "--json").json for more in ((), ("--set", f"calibration={out}"))
    )
    assert own["prefill"] == plain["prefill"]
    rows = cli("capacity", "--sweep", "batch", "--kv-tokens", "2000", "--set", f"calibration={out}", "--json").json
    (point,) = [p for p in found["points"] if (p["streams"], p["kv_tokens"]) == (64, 2000)]
    near = min(rows["rows"], key=lambda row: abs(row["streams"] - 64))
    assert near["step_ms"] == pytest.approx(point["model_ms"], rel=0.02)


def test_a_calibration_of_another_model_or_node_is_refused(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "own.toml"
    cli("capacity", "fit", str(measured(tmp_path)), "--out", str(out))
    other = cli("capacity", "--node", "h200", "--set", f"calibration={out}")
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "was fitted to hardware H800, but the engine has H200" in other.err
    missing = cli("capacity", "--set", f"calibration={tmp_path / 'no.toml'}")
    assert (missing.code, missing.err.count("\n")) == (2, 1)


def test_files_that_cannot_be_fitted_give_one_line(cli: Cli, tmp_path: Path) -> None:
    short = tmp_path / "short.json"
    short.write_text(json.dumps([{"streams": 1, "kv_tokens": 10, "step_ms": 20}]))
    for arguments in ((str(short),), (str(tmp_path / "none.csv"),), (str(short), "--server-gpus", "0")):
        result = cli("capacity", "fit", *arguments)
        assert result.code in (1, 2)
        assert result.err.count("\n") == 1
    unwritable = cli("capacity", "fit", str(measured(tmp_path)), "--out", str(tmp_path / "no" / "own.toml"))
    assert "cannot be written" in unwritable.err


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
        for batch, context, step in zip(BATCHES, CONTEXTS, steps(Overheads()), strict=True)
    ]
    path.write_text("".join(json.dumps(run, default=int) + "\n" for run in runs))
    found = cli("capacity", "fit", str(path), *EVEN, "--json").json
    assert [point["streams"] for point in found["points"]] == pytest.approx(BATCHES)
    assert found["points"][0]["notes"][0] == "tpot_ms is a median: the file has no mean"
    assert f"{path}, entry 6: tpot_ms is a median" in cli("capacity", "fit", str(path), *EVEN).out

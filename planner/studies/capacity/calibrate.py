"""Fitting the decode model to a file of measured steps, and keeping what came out."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from planner.capacity.engines import fitted_to
from planner.catalogue.toml import toml_value
from planner.core.fleet.calibration import Calibration, fit
from planner.errors import PlannerError
from planner.studies.capacity.measurements import MeasuredPoint, read_points
from planner.studies.capacity.overview import Study

_ENGINE = ("model", "hardware", "weights", "kv", "gpus", "tensor_parallel", "redundant_experts")


def fit_files(study: Study, paths: Sequence[Path], server_gpus: int) -> tuple[Calibration, dict[str, Any]]:
    """The study's decode engine fitted to the points of files; the fit and a JSON-ready account of it.

    server_gpus: GPUs behind the measured endpoint. Raises PlannerError, UsageError.
    """
    engine, imbalance_at = study.decode()
    points = [point for path in paths for point in read_points(path, gpus=server_gpus)]
    streams, kv_tokens, step_ms = (
        np.array([getattr(point, name) for point in points]) for name in ("streams", "kv_tokens", "step_ms")
    )
    found = fit(engine, streams, kv_tokens, step_ms, imbalance_at)
    return found, {
        "node": engine.hardware.name,
        **fitted_to(engine, study.decode_gpus),
        "file": ", ".join(str(path) for path in paths),
        "kernel_factor": found.overheads.kernel_factor,
        "layer_us": found.overheads.layer_us,
        "row_us": found.overheads.row_us,
        "host_us": found.overheads.host_us,
        "rms": found.rms,
        "left_out_rms": found.left_out_rms,
        "validity": asdict(found.validity),
        "points": [_point(point, found, number) for number, point in enumerate(points)],
    }


def write_calibration(account: dict[str, Any], path: Path) -> None:
    """Keep a fit as TOML for fleet.engine.calibration. Raises PlannerError."""
    valid = account["validity"]
    table = {
        **{name: account[name] for name in _ENGINE},
        "points": len(account["points"]),
        "source": "fitted: to " + ", ".join(sorted({point["source"] for point in account["points"]}))[:200],
        **{name: account[name] for name in ("rms", "left_out_rms", "kernel_factor", "layer_us", "row_us", "host_us")},
        **{name: valid[name] for name in ("least_streams", "most_streams", "least_kv_tokens", "most_kv_tokens")},
    }
    text = "# Fitted by `planner capacity fit`; use it as fleet.engine.calibration.\n"
    text += "".join(f"{name} = {toml_value(value)}\n" for name, value in table.items())
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlannerError(f"{path}: cannot be written: {error.strerror}; name another --out") from error


def _point(point: MeasuredPoint, found: Calibration, number: int) -> dict[str, Any]:
    return {
        **asdict(point),
        "model_ms": float(found.model_ms[number]),
        "relative_error": float(found.relative_errors[number]),
        "left_out_error": float(found.left_out_errors[number]),
    }

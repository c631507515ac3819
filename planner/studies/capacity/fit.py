"""Fitting the decode model to files of measured steps, and saving the fit."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from planner.capacity.engines import FittedEngine, fitted_to
from planner.catalogue.toml import toml_value
from planner.core.fleet.calibration import Calibration, fit
from planner.core.fleet.engine import Validity
from planner.errors import PlannerError
from planner.files import atomic_write
from planner.settings.measurements import CalibrationFile
from planner.studies.capacity.measured.read import read_points
from planner.studies.capacity.measured.serving import MeasuredPoint
from planner.studies.capacity.study import EngineStudy

_SOURCE_LENGTH = 200
"""Characters of the names of points that a calibration file repeats."""


@dataclass(frozen=True, kw_only=True)
class FittedPoint(MeasuredPoint):
    """A measured step and the fitted one."""

    model_ms: float
    relative_error: float
    """Of the fitted step."""
    left_out_error: float
    """Relative error of the step as predicted by a fit to all other points."""


@dataclass(frozen=True, kw_only=True)
class DecodeFit(FittedEngine):
    """The decode model of an engine fitted to measured steps."""

    node: str
    file: str
    """The files that the points come from."""
    kernel_factor: float
    """Time of kernels over the time at the catalogue's speeds."""
    layer_us: float
    """Overhead per layer and micro-batch."""
    row_us: float
    """Overhead per layer and row."""
    host_us: float
    """Overhead per step, sampling and scheduling; assumed."""
    rms: float
    """Root mean square of the relative errors."""
    left_out_rms: float
    """Root mean square of the errors of points left out."""
    validity: Validity
    """Where the fit is valid: between the measured points."""
    points: tuple[FittedPoint, ...]


def fit_files(study: EngineStudy, paths: Sequence[Path], server_gpus: int | None) -> DecodeFit:
    """The study's decode engine fitted to the points of files.

    server_gpus: GPUs behind the measured endpoint; None for what the files tell, else 1. Raises PlannerError,
    UsageError.
    """
    engine, imbalance_at = study.decode()
    points = [point for path in paths for point in read_points(path, gpus=server_gpus)]
    streams, kv_tokens, step_ms = (
        np.array([getattr(point, name) for point in points]) for name in ("streams", "kv_tokens", "step_ms")
    )
    fitted = fit(engine, streams, kv_tokens, step_ms, imbalance_at)
    return DecodeFit(
        **vars(fitted_to(engine, study.decode_gpus)),
        **vars(fitted.overheads),
        node=engine.hardware.name,
        file=", ".join(str(path) for path in paths),
        rms=fitted.rms,
        left_out_rms=fitted.left_out_rms,
        validity=fitted.validity,
        points=tuple(_point(point, fitted, number) for number, point in enumerate(points)),
    )


def write_calibration(fitted: DecodeFit, path: Path) -> None:
    """Write a fit as TOML for fleet.engine.calibration. Raises PlannerError."""
    file = CalibrationFile(
        **{each.name: getattr(fitted, each.name) for each in fields(FittedEngine)},
        **vars(fitted.validity),
        points=len(fitted.points),
        source="fitted: to " + ", ".join(sorted({point.source for point in fitted.points}))[:_SOURCE_LENGTH],
        rms=fitted.rms,
        left_out_rms=fitted.left_out_rms,
        kernel_factor=fitted.kernel_factor,
        layer_us=fitted.layer_us,
        row_us=fitted.row_us,
        host_us=fitted.host_us,
    )
    text = "# Fitted by `planner capacity fit`; use it as fleet.engine.calibration.\n"
    text += "".join(f"{name} = {toml_value(value)}\n" for name, value in file)
    try:
        with atomic_write(path) as draft:
            draft.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PlannerError(f"{path}: cannot be written: {error.strerror}; name another --out") from error


def _point(point: MeasuredPoint, fitted: Calibration, number: int) -> FittedPoint:
    return FittedPoint(
        **vars(point),
        model_ms=float(fitted.model_ms[number]),
        relative_error=float(fitted.relative_errors[number]),
        left_out_error=float(fitted.left_out_errors[number]),
    )

"""Fitting an engine to measurements of one set-up: factors on its kernels, its overheads and its prompts. Pure.

Four logarithms of factors are unknown: one of everything, and one each of kernels, overheads and prompts on top. All
have priors around the engine's profile, as wide as set-ups were seen to differ from it. So one point moves what is
common to all of a set-up's times; more points, of other batches, lengths or mixes, move the parts apart as far as they
tell them apart. A factor that points do not bear on stays at its prior, with the prior's uncertainty.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planner.core.fleet.engine import Engine, Scale, Validity, on_same_kernels
from planner.errors import UsageError
from planner.units import Floats

PRIORS = {"all": 0.25, "kernels": 0.12, "overheads": 0.3, "prompts": 0.6}
"""Standard deviations of logarithms. Assumed but for prompts, of the order in which whole set-ups that were left out
of the fit of the engines differed from them (12 % in the median, 34 % at p90), and the parts of one set-up from each
other. prompts: fitted, on a grid, to the errors that one, two and four own points of 88 such set-ups leave in their
other times (`python -m tests.bench.own_points`). Narrower ones of all and wider ones of overheads would make these
errors smaller by a point at most, and turn one factor of all times into factors of its parts."""
NOISE = 0.1
"""Standard deviation of the logarithm of one measurement. Assumed: the same condition measured twice differs by 5 % in
the median and by 22 % at the third quartile."""
DAMPED = 2.0
"""Standard deviations beyond which a point counts less. Fitted with the prior of prompts."""
LIMIT = 2.5
"""Standard deviations of a prior beyond which a factor is said to be unusual."""
MOST_APART = 20.0
"""Times of the model beyond which measurements are taken to be in another unit. Assumed: below the thousand between
units, and beyond what any set-up was off by."""
LEAST_POINTS = 1
"""Priors stand for what points do not tell."""
_STEPS = 40


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Fitted factors and how well they are fitted.

    scale: for the engine. deviations: of each unknown from its prior, in standard deviations. model: predicted by
    point, in the unit of the measurements. relative_errors: of them; left_out_errors: of each point as predicted from
    the others, NaN where there are none.
    """

    scale: Scale
    deviations: dict[str, float]
    model: Floats
    relative_errors: Floats
    left_out_errors: Floats

    @property
    def rms(self) -> float:
        """Root mean square of the relative errors."""
        return _rms(self.relative_errors)

    @property
    def left_out_rms(self) -> float | None:
        """Root mean square of the errors of points left out; None where there is one point only."""
        return None if np.isnan(self.left_out_errors).any() else _rms(self.left_out_errors)


def fit(
    engine: Engine, predict: Callable[[Engine], Floats], measured: Floats, *, leave_out: bool = True
) -> Calibration:
    """The factors that are most likely by the points and the priors.

    predict: what an engine gives for all points, as `measured` has it, both above 0 and of one shape. leave_out:
    whether each point is predicted from the others too. Raises UsageError for measurements that are not positive
    numbers, and for those that no factor explains.
    """
    values = np.asarray(measured, np.float64)
    if values.ndim != 1 or not len(values) or not (np.isfinite(values).all() and (values > 0).all()):
        raise UsageError("calibration: measured times must be numbers above 0; correct the points")
    free = replace(engine, validity=Validity(), scale=Scale())

    def logs(x: Floats) -> Floats:
        return np.log(np.asarray(predict(on_same_kernels(free, scale=_scale(x))), np.float64))

    start = logs(np.zeros(len(PRIORS))) - np.log(values)
    if np.abs(np.median(start)) > np.log(MOST_APART):
        raise UsageError(
            f"calibration: measured times are {np.exp(-np.median(start)):.3g} times those of the model; check their "
            "unit (ms), the model, the GPU and the number of GPUs"
        )
    everything = np.ones(len(values), bool)
    x = _solve(logs, np.log(values), everything, np.zeros(len(PRIORS)))
    model = np.exp(logs(x))
    left_out = np.full(len(values), np.nan)
    if leave_out and len(values) > 1:
        for out in range(len(values)):
            kept = everything.copy()
            kept[out] = False
            others = _solve(logs, np.log(values), kept, x)
            left_out[out] = np.exp(logs(others))[out] / values[out] - 1
    widths = np.array(list(PRIORS.values()))
    return Calibration(
        scale=_scale(x),
        deviations=dict(zip(PRIORS, map(float, x / widths), strict=True)),
        model=model,
        relative_errors=model / values - 1,
        left_out_errors=left_out,
    )


def calibrated(engine: Engine, calibration: Calibration) -> Engine:
    """The engine with the fitted factors."""
    return on_same_kernels(engine, scale=calibration.scale)


def _scale(x: Floats) -> Scale:
    everything, kernels, overheads, prompts = (float(value) for value in x)
    return Scale(
        kernels=float(np.exp(everything + kernels)),
        overheads=float(np.exp(everything + overheads)),
        prompts=float(np.exp(prompts)),
    )


def _solve(logs: Callable[[Floats], Floats], measured: Floats, kept: np.ndarray, start: Floats) -> Floats:
    """Most likely logarithms of factors. Gauss-Newton, outliers damped."""
    widths = np.array(list(PRIORS.values()))
    x = start
    for _ in range(_STEPS):
        now = logs(x)
        slopes = np.column_stack([(logs(x + step) - now) / 1e-4 for step in np.eye(len(widths)) * 1e-4])
        errors = (measured - now)[kept] / NOISE
        weights = np.minimum(1.0, DAMPED / np.maximum(np.abs(errors), 1e-9))
        rows = slopes[kept] / NOISE
        normal = rows.T @ (weights[:, None] * rows) + np.diag(widths**-2)
        change = np.linalg.solve(normal, rows.T @ (weights * errors) - x / widths**2)
        x = x + np.clip(change, -0.5, 0.5)
        if np.abs(change).max() < 1e-4:
            break
    return x


def _rms(errors: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))

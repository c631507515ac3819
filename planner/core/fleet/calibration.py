"""Fitting the decode model to measured steps: factor of the kernels' time and two overheads. Pure."""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from planner.core.fleet.decode import OVERLAPS, Imbalance, step_us
from planner.core.fleet.engine import Engine, Overheads, Validity
from planner.core.fleet.operating import ImbalanceAt, balanced
from planner.errors import UsageError
from planner.units import Floats

_CHOICES = 10
LEAST_POINTS = 4
"""One more than there are unknowns, so that the residuals are informative."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Fitted overheads, the range of the points, and how well they are fitted.

    model_ms and relative_errors: per point, in the order given. left_out_errors: of each point predicted from the
    others, the honest measure of what the fit says about a new point.
    """

    overheads: Overheads
    validity: Validity
    model_ms: Floats
    relative_errors: Floats
    left_out_errors: Floats

    @property
    def rms(self) -> float:
        """Root mean square of the relative errors."""
        return _rms(self.relative_errors)

    @property
    def left_out_rms(self) -> float:
        """Root mean square of the errors of points left out."""
        return _rms(self.left_out_errors)


def fit(
    engine: Engine,
    streams: ArrayLike,
    kv_tokens: ArrayLike,
    step_ms: ArrayLike,
    imbalance_at: ImbalanceAt = balanced,
) -> Calibration:
    """Least squares of the relative errors in three unknowns, none below 0. Arrays of one shape, one entry per point.

    streams: per GPU; kv_tokens: mean context; step_ms: measured, with the imbalance that the system had. The host's
    time stays as assumed. Raises UsageError for points that do not determine the unknowns.
    """
    batch, context, measured = (np.asarray(values, np.float64) for values in (streams, kv_tokens, step_ms))
    _check(batch, context, measured)
    model = replace(engine, validity=Validity())
    imbalance = imbalance_at(batch)
    parts = _parts(model, batch, context, imbalance)
    target = measured * 1e3 - model.overheads.host_us
    if (target <= 0).any():
        raise UsageError(f"a step is shorter than the host's {model.overheads.host_us / 1e3:g} ms; check the unit: ms")
    if np.linalg.matrix_rank(parts / parts.max(axis=0)) < parts.shape[1]:
        raise UsageError(
            "calibration: the points do not determine the unknowns; measure at further batches and contexts"
        )
    solution = _non_negative(parts / target[:, None])
    for _ in range(_CHOICES if engine.overlap == "auto" else 0):
        # whether a batch overlaps depends on the overheads, and they on that: iterate until nothing changes
        chosen = _parts(replace(model, overheads=_overheads(solution, model)), batch, context, imbalance)
        if np.array_equal(chosen, parts):
            break
        parts, solution = chosen, _non_negative(chosen / target[:, None])
    step = (parts @ solution + model.overheads.host_us) / 1e3
    overheads = _overheads(solution, model)
    left_out = np.array([_left_out(parts, target, measured, out) for out in range(len(measured))])
    return Calibration(
        overheads=overheads,
        validity=_range(batch, context),
        model_ms=step,
        relative_errors=step / measured - 1,
        left_out_errors=left_out,
    )


def calibrated(engine: Engine, calibration: Calibration) -> Engine:
    """The engine with the fitted overheads, valid where points were measured."""
    return replace(engine, overheads=calibration.overheads, validity=calibration.validity)


def _overheads(solution: Floats, engine: Engine) -> Overheads:
    factor, layer_us, row_us = (float(value) for value in solution)
    return Overheads(layer_us, row_us, engine.overheads.host_us, factor)


def _parts(engine: Engine, batch: Floats, context: Floats, imbalance: Imbalance) -> Floats:
    """Step without the host as a sum of three parts per point: kernels, one us per layer, one us per layer and row.

    Where overlap is auto, each point overlaps or not, whichever is faster with the engine's overheads.
    """
    if engine.overlap == "auto":
        on, off = (replace(engine, overlap=choice) for choice in OVERLAPS)
        faster = step_us(on, batch, context, imbalance=imbalance) <= step_us(off, batch, context, imbalance=imbalance)
        both = (_parts(each, batch, context, imbalance) for each in (on, off))
        return np.where(faster[:, None], *both)

    def step(overheads: Overheads) -> Floats:
        return step_us(replace(engine, overheads=overheads), batch, context, imbalance=imbalance)

    nothing = step(Overheads(0, 0, 0, 0))
    parts = (Overheads(0, 0, 0, 1), Overheads(1, 0, 0, 0), Overheads(0, 1, 0, 0))
    return np.column_stack([step(part) - nothing for part in parts])


def _non_negative(design: Floats) -> Floats:
    """Least squares of design @ x = 1 with x >= 0: the best of all choices of unknowns without a negative one."""
    unknowns, best, least = design.shape[1], np.zeros(design.shape[1]), np.inf
    for count in range(1, unknowns + 1):
        for chosen in map(list, combinations(range(unknowns), count)):
            values, *_ = np.linalg.lstsq(design[:, chosen], np.ones(len(design)), rcond=None)
            error = float(((design[:, chosen] @ values - 1) ** 2).sum())
            if (values >= 0).all() and error < least:
                best, least = np.zeros(unknowns), error
                best[chosen] = values
    return best


def _left_out(parts: Floats, target: Floats, measured: Floats, out: int) -> float:
    kept = np.arange(len(target)) != out
    solution = _non_negative(parts[kept] / target[kept, None])
    host = measured[out] * 1e3 - target[out]
    return float((parts[out] @ solution + host) / 1e3 / measured[out] - 1)


def _range(batch: Floats, context: Floats) -> Validity:
    return Validity(float(batch.max()), float(context.max()), float(batch.min()), float(context.min()))


def _check(batch: Floats, context: Floats, measured: Floats) -> None:
    if not (batch.shape == context.shape == measured.shape and batch.ndim == 1):
        raise UsageError("calibration: streams, KV lengths and steps differ in number; pass one of each per point")
    values = np.concatenate([batch, context, measured])
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise UsageError("calibration: streams, KV lengths and steps must be numbers above 0; correct the points")
    if len(batch) < LEAST_POINTS:
        count = f"{len(batch)} point{'' if len(batch) == 1 else 's'}"
        raise UsageError(
            f"calibration: {count} for three unknowns; measure at least {LEAST_POINTS}, at several batches"
        )
    if len(np.unique(batch)) < 2:
        raise UsageError("calibration: all points have the same batch; measure at two batches or more")


def _rms(errors: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))

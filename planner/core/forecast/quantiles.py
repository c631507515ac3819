"""Quantiles of forecasts from the errors of earlier ones. Pure."""

from bisect import insort
from collections.abc import Sequence

import numpy as np

from planner.units import Floats

LEAST_SCALE = 0.05
"""Errors are taken relative to the forecast plus this share of the mean so far, or nights near zero would set the
quantiles of busy hours. Assumed."""
LEAST_SIZE = 1e-9
"""Tokens; errors of forecasts that are smaller, with that share, are not counted: a quotient by them may overflow.
Assumed: far under a token in a long history."""


def rolling_quantiles(series: Floats, forecasts: Floats, shares: Sequence[float], settled: int = 0) -> Floats:
    """Quantiles of rolling forecasts (n + 1, horizon) of a series (n,), from past errors only.

    Every step ahead has errors of its own, relative to the size of the forecast; those of rows before `settled` (see
    Forecaster) count only while the later ones are too few for the share. A quantile adds the ceil((k + 1) share)-th
    smallest of the k errors known at its row: of one more error like them at least that share lies below (split
    conformal prediction, V. Vovk and others). shares: rising; no quantile is below that of a smaller share. Returns
    (shares, n + 1, horizon); nan where the forecast is, or where fewer than share / (1 - share) errors are known.
    Errors within a day are correlated, so a few days tell less than their number suggests: see the coverage of a
    back-test.
    """
    rows, horizon = forecasts.shape
    count = len(series)
    means = np.concatenate([[0.0], np.cumsum(series)]) / np.maximum(np.arange(count + 1), 1)
    scale = forecasts + LEAST_SCALE * means[:, None]
    errors: list[list[float]] = [[] for _ in range(horizon)]
    later: list[list[float]] = [[] for _ in range(horizon)]
    result = np.full((len(shares), rows, horizon), np.nan)
    chosen = np.empty((len(shares), horizon))
    for row in range(rows):
        # the interval before the row has just become known: one error more of every step that was forecast for it
        steps = np.arange(min(horizon, row))
        origins = row - 1 - steps
        sizes = scale[origins, steps]
        known = sizes > LEAST_SIZE
        if known.any():
            missed = (series[row - 1] - forecasts[origins, steps])[known] / sizes[known]
            for step, error in zip(steps[known].tolist(), missed.tolist(), strict=True):
                insort(errors[step], error)
                if row - 1 - step >= settled:
                    insort(later[step], error)
        chosen[:] = _at_ranks(later, errors, shares)
        highest = np.maximum.accumulate(chosen, axis=0)
        result[:, row] = np.maximum(forecasts[row] + highest * scale[row], 0.0)
    return result


def quantile_name(share: float) -> str:
    """Name of a quantile in keys and columns: q90 of 0.9."""
    return f"q{100 * share:g}"


def _at_ranks(later: Sequence[Sequence[float]], errors: Sequence[Sequence[float]], shares: Sequence[float]) -> Floats:
    """The error at every share's rank, for every step: in the later pool if it holds so many, or else in all errors.

    Pools are sorted. Returns (shares, steps); nan if none holds so many.
    """
    sizes = np.array([[len(pool) for pool in pools] for pools in (later, errors)])
    # the tiny part keeps a product like 10 x 0.9 from being rounded up to the next rank
    ranks = np.ceil((sizes + 1) * np.array(shares)[:, None, None] - 1e-9).astype(np.int64)
    places = np.maximum(ranks - 1, 0)
    places[ranks > sizes] = -1
    return np.array(
        [
            [
                some[one] if one >= 0 else all_[other] if other >= 0 else np.nan
                for some, all_, one, other in zip(later, errors, *map(np.ndarray.tolist, place), strict=True)
            ]
            for place in places
        ]
    ).reshape(len(shares), len(errors))

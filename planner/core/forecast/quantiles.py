"""Quantiles of forecasts from the errors of earlier ones. Pure."""

from bisect import insort
from collections.abc import Sequence

import numpy as np

from planner.core.forecast.base import MOST_OF_LARGEST
from planner.core.forecast.past import Mask
from planner.units import Floats, Ints

LEAST_SCALE = 0.05
"""Errors are taken relative to the forecast plus this share of the mean so far, or nights near zero would set the
quantiles of busy hours. Assumed."""
_DEPENDENT = 0.57
"""Errors added for every step that they depend on each other, as if they were larger than the others. Fitted on 20
draws: with it the 0.9 quantile covers 0.88 and more of days that are drawn with noise, also after a change of their
level, and is 1.09 to 1.21 times as much (`make forecasts`)."""
_ROUNDING = 1e-9
"""Of a product of a count and a share. Assumed: far under one, and far over what floating point is off by."""
LEAST_SIZE = 1e-9
"""Tokens; errors of forecasts that are smaller, with that share, are not counted: a quotient by them may overflow.
Assumed: far under a token in a long history."""


def rolling_quantiles(
    series: Floats,
    forecasts: Floats,
    shares: Sequence[float],
    settled: int = 0,
    blind: Sequence[tuple[int, int]] = (),
    bursts: Sequence[tuple[int, Ints]] = (),
    hurt: Mask | None = None,
    every: int = 1,
    overlap: int = 0,
) -> Floats:
    """Quantiles of rolling forecasts (n + 1, horizon) of a series (n,), from past errors only.

    Every step ahead has errors of its own, relative to the size of the forecast; those of rows before `settled` (see
    Forecaster) count only while the later ones are too few for the share. A quantile adds the ceil((k + 1) share)-th
    smallest of the k errors known at its row: of one more error like them at least that share lies below (split
    conformal prediction, V. Vovk and others); it is at most twice the largest demand so far, or twice the forecast.
    series: nan where an interval does not count. shares: rising; no quantile is below that of a smaller share. blind:
    changes of level, each as the interval that it began with and the row that knew of it; from that row on, errors of
    what earlier rows said of the time since do not count. bursts: rows, each with the intervals whose errors do not
    count from it on. hurt: (n + 1,) rows that were made in the middle of an outage, whose errors do not count. every:
    errors are taken in every so many rows, and in the last one; rows between use those known before. overlap: steps
    over which errors depend on each other, by which a few days tell less than the number of their errors. Returns
    (shares, n + 1, horizon); nan where the forecast is, or where fewer than share / (1 - share) errors are known.
    """
    rows, horizon = forecasts.shape
    scale = forecasts + LEAST_SCALE * _means(series)[:, None]
    errors = _errors(series, forecasts, scale)
    if hurt is not None:
        origins = np.arange(len(series))[:, None] - np.arange(horizon)
        errors[(origins >= 0) & hurt[np.maximum(origins, 0)]] = np.nan
    result = np.full((len(shares), rows, horizon), np.nan)
    largest = np.fmax.accumulate(np.concatenate([[0.0], series]))[:, None]
    known_at = {row: begin for begin, row in sorted(blind, reverse=True)}
    found_at = {row: np.concatenate([part for at, part in bursts if at == row]) for row, _ in bursts}
    pools = (_Pools if every == 1 else _Sorted)(errors, settled, overlap)
    for row in range(rows):
        # the interval before the row has just become known: one error more of every step that was forecast for it
        pools.take(row - 1)
        if row in known_at:
            pools.withdraw(known_at[row], row)
        if row in found_at:
            pools.leave_out(found_at[row], row)
        if row % every == 0 or row == rows - 1:
            highest = np.maximum.accumulate(pools.at_ranks(shares), axis=0)
            there = slice(row, row + every)
            planned = np.maximum(forecasts[there] + highest[:, None] * scale[there], 0.0)
            result[:, there] = np.minimum(planned, MOST_OF_LARGEST * np.maximum(largest[there], forecasts[there]))
    return result


class _Known:
    """The errors of every step that are known so far."""

    def __init__(self, errors: Floats, settled: int, overlap: int) -> None:
        """errors: (n, steps) of an interval by the steps that it was ahead, nan where it does not count."""
        self._errors, self._settled, self._count = errors, settled, 0
        self._overlap = np.minimum(np.arange(errors.shape[1]), overlap)

    def take(self, index: int) -> None:
        """Add the errors of an interval, the one after those before; -1 for none."""
        self._count = index + 1

    def withdraw(self, begin: int, row: int) -> None:
        """Leave out what rows before a row said of intervals from `begin` on, known already or still to come."""
        steps = self._errors.shape[1]
        intervals = np.arange(begin, min(row + steps, len(self._errors)))
        origins = intervals[:, None] - np.arange(steps)
        self._errors[begin : begin + len(intervals)][origins < row] = np.nan

    def leave_out(self, intervals: Ints, row: int) -> None:
        """Leave out what was said of some intervals, all of them before a row."""
        self._errors[intervals[intervals < row]] = np.nan


class _Sorted(_Known):
    """The same, sorted when they are asked for: for few rows."""

    def at_ranks(self, shares: Sequence[float]) -> Floats:
        """The error at every share's rank, for every step; see _at_ranks."""
        known = self._errors[: self._count]
        origins = np.arange(len(known))[:, None] - np.arange(known.shape[1])
        later = np.where(origins >= self._settled, known, np.nan)
        pools = [(np.sort(errors, axis=0), np.count_nonzero(~np.isnan(errors), axis=0)) for errors in (later, known)]
        found = np.full((len(shares), known.shape[1]), np.nan)
        for share, row in zip(shares, found, strict=True):
            for errors, sizes in pools:
                rank = _ranks(sizes, share, self._overlap)
                steps = np.flatnonzero(np.isnan(row) & (rank <= sizes))
                row[steps] = errors[np.maximum(rank[steps] - 1, 0), steps]
        return found


class _Pools(_Known):
    """The same, kept in order: for many rows."""

    def __init__(self, errors: Floats, settled: int, overlap: int) -> None:
        super().__init__(errors, settled, overlap)
        self.all: list[list[float]] = [[] for _ in range(errors.shape[1])]
        self.later: list[list[float]] = [[] for _ in range(errors.shape[1])]

    def take(self, index: int) -> None:
        """As before."""
        super().take(index)
        if index < 0:
            return
        for step, error in enumerate(self._errors[index].tolist()):
            if error == error:  # not nan
                insort(self.all[step], error)
                if index - step >= self._settled:
                    insort(self.later[step], error)

    def withdraw(self, begin: int, row: int) -> None:
        """As before."""
        super().withdraw(begin, row)
        self._sort(row)

    def leave_out(self, intervals: Ints, row: int) -> None:
        """As before."""
        super().leave_out(intervals, row)
        self._sort(row)

    def _sort(self, row: int) -> None:
        for step in range(self._errors.shape[1]):
            known = self._errors[:row, step]
            counted = ~np.isnan(known)
            self.all[step] = np.sort(known[counted]).tolist()
            counted[: self._settled + step] = False
            self.later[step] = np.sort(known[counted]).tolist()

    def at_ranks(self, shares: Sequence[float]) -> Floats:
        """As before."""
        return _at_ranks(self.later, self.all, shares, self._overlap)


def _means(series: Floats) -> Floats:
    """The mean of what is known before every row; (n + 1,), 0 before anything is."""
    known = ~np.isnan(series)
    counts = np.concatenate([[0], np.cumsum(known)])
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, series, 0.0))])
    means: Floats = sums / np.maximum(counts, 1)
    return means


def _errors(series: Floats, forecasts: Floats, scale: Floats) -> Floats:
    """What every interval was more than forecast, relative to the scale, by the steps that it was ahead; (n, steps)."""
    count, horizon = len(series), forecasts.shape[1]
    errors = np.full((count, horizon), np.nan)
    for step in range(min(horizon, count)):
        made, size = forecasts[: count - step, step], scale[: count - step, step]
        missed = series[step:] - made
        np.divide(missed, size, out=errors[step:, step], where=size > LEAST_SIZE)
    return errors


def quantile_name(share: float) -> str:
    """Name of a quantile in keys and columns: q90 of 0.9."""
    return f"q{100 * share:g}"


def _ranks(sizes: Ints, share: float, overlap: Ints) -> Ints:
    """The rank of a share among so many errors, by step; beyond them where they are too few.

    Errors of forecasts so many steps ahead depend on each other over as many steps: a share as many that would have
    been larger are added, as far as the known ones reach.
    """
    # the tiny part keeps a product like 10 x 0.9 from being rounded up to the next rank
    plain, raised = (
        np.ceil(count * share - _ROUNDING).astype(np.int64) for count in (sizes + 1, sizes + 1 + _DEPENDENT * overlap)
    )
    ranks: Ints = np.where(plain <= sizes, np.minimum(raised, sizes), plain)
    return ranks


def _at_ranks(
    later: Sequence[Sequence[float]], errors: Sequence[Sequence[float]], shares: Sequence[float], overlap: Ints
) -> Floats:
    """The error at every share's rank, for every step: in the later pool if it holds so many, or else in all errors.

    Pools are sorted. Returns (shares, steps); nan if none holds so many.
    """
    sizes = np.array([[len(pool) for pool in pools] for pools in (later, errors)])
    ranks = np.array([_ranks(sizes, share, overlap) for share in shares])
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

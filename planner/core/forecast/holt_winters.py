"""Holt-Winters exponential smoothing with a damped trend, tuned by its own back-test.

The recursions are those of R. J. Hyndman and G. Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition,
section 8.3, in component form: with season length m, x one of + and × and its inverse ÷ one of - and /,

    forecast(t + h)  (level + (phi + ... + phi^h) trend) x season(t + h - m)
    level(t)         alpha (y ÷ season(t - m)) + (1 - alpha) (level + phi trend)
    trend(t)         beta (level(t) - level) + (1 - beta) phi trend
    season(t)        gamma (y ÷ (level + phi trend)) + (1 - gamma) season(t - m)

All parameters of a grid run in parallel. Every row of forecasts uses those whose earlier forecasts, over
the same horizon, have the smallest total error on the intervals seen so far. So tuning sees the past only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, product
from typing import Literal, NamedTuple

import numpy as np

from planner.core.forecast.base import PlainForecaster, nothing_known
from planner.units import Floats

Form = Literal["additive", "multiplicative"]


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """One set of parameters. beta is the trend's own (beta* in the book); phi 0 leaves the trend out, 1 is undamped."""

    form: Form
    alpha: float
    beta: float
    gamma: float
    phi: float


# Assumed: a coarse grid over the ranges that the book gives (gamma at most 1 - alpha, phi of 0.8 to 0.98), with no
# trend and an undamped one that hardly moves beside them, as load may grow steadily for weeks. The first is what is
# used before anything could be compared: it follows the level slowly and the season as fast.
_LEVELS = (0.1, 0.02, 0.3, 0.6, 0.9)
_TRENDS = ((0.0, 0.0), (0.05, 0.95), (0.001, 1.0))
_SEASONS = (0.1, 0.3, 0.6)
_FORMS: tuple[Form, ...] = ("additive", "multiplicative")
GRID = tuple(
    Smoothing(form=form, alpha=alpha, beta=beta, gamma=gamma, phi=phi)
    for form, alpha, (beta, phi), gamma in product(_FORMS, _LEVELS, _TRENDS, _SEASONS)
    if gamma <= 1 - alpha + 1e-9
)


class _Operations(NamedTuple):
    """How the season enters a form, and how it is taken out again."""

    combine: np.ufunc
    inverse: np.ufunc


_OPERATIONS: dict[Form, _Operations] = {
    "additive": _Operations(np.add, np.subtract),
    "multiplicative": _Operations(np.multiply, np.divide),
}
_SMALLEST = 1e-9
"""A multiplicative level under this share of its beginning is meaningless."""
_LEAST_FACTOR, _MOST_RISE = 0.02, 4.0
"""Multiplicative season factors stay above the one, and an interval lifts the level by at most the other: without them
a slot that was near zero once multiplies the level when demand is back. Assumed."""


@dataclass(frozen=True)
class HoltWinters(PlainForecaster):
    """Holt-Winters over one season of so many intervals.

    The first season gives the first level and seasons, without a trend. With two seasons it restarts: the trend is
    the difference of their means, the level its line through the first, the seasons what is left. Multiplicative
    parameters drop out where the first season, or later the level, is not above zero. Forecasts below zero are raised
    to it. Unknown intervals change nothing but time; in the first seasons they are the mean of these. grid: the
    parameters to choose from, the first one until something can be compared.
    """

    season: int
    grid: Sequence[Smoothing] = GRID
    name: str = "holt-winters"

    @property
    def needs(self) -> int:
        return self.season

    @property
    def settled(self) -> int:
        return 2 * self.season

    def rolling(self, series: Floats, horizon: int) -> Floats:
        """As in PlainForecaster. Which parameters are chosen depends on the horizon that they are judged over."""
        count, m = len(series), self.season
        forecasts = nothing_known(count, horizon)
        starts = [(1, range(m, min(2 * m, count + 1)))]
        if count >= 2 * m:
            starts.append((2, range(2 * m, count + 1)))
        # the error of each set of parameters, summed over the intervals before a row; (count + 1, grid)
        missed = np.zeros((count + 1, len(self.grid)))
        runs = [
            (rows, [_Run.of(series, m, seasons, group) for group in self._groups()]) for seasons, rows in starts if rows
        ]
        for rows, both in runs:
            missed[1:] += np.concatenate([run.misses(series, rows, horizon) for run in both], axis=1)
        missed = np.cumsum(missed, axis=0)
        for rows, both in runs:
            alive = np.concatenate([np.isfinite(run.levels) for run in both], axis=1)
            best = np.argmin(np.where(alive, missed, np.inf), axis=1)
            for row in rows:
                run, column = _holder(both, int(best[row]))
                forecasts[row] = run.forecast(row, horizon, slice(column, column + 1))[:, 0]
        return forecasts

    def _groups(self) -> list[list[Smoothing]]:
        """The grid by form, in its order. Raises ValueError for a grid whose forms are mixed."""
        groups = [list(group) for _, group in groupby(self.grid, key=lambda each: each.form)]
        if len(groups) > len({group[0].form for group in groups}):
            raise ValueError("the grid mixes its forms; put the parameters of each form together")
        return groups


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The states of one form's sets of parameters on a series (n,), all in parallel.

    levels, trends: (n + 1, sets), row t after series[:t]. seasons: (n, sets), entry i of interval i.
    """

    season: int
    form: Form
    phi: Floats
    levels: Floats
    trends: Floats
    seasons: Floats

    @classmethod
    def of(cls, series: Floats, season: int, seasons: int, group: Sequence[Smoothing]) -> "_Run":
        """Smooth the series from its second season on, started from the first one or two."""
        form, m, count = group[0].form, season, len(series)
        remove = _OPERATIONS[form].inverse
        alpha, beta, gamma, phi = (
            np.array([getattr(each, name) for each in group]) for name in ("alpha", "beta", "gamma", "phi")
        )
        first, second = (_filled(series[start : start + m]) for start in (0, m))
        mean = first.mean()
        slope = (second.mean() - mean) / m if seasons == 2 else 0.0
        line = mean + slope * (np.arange(m) - (m - 1) / 2)
        levels, trends = (np.full((count + 1, len(group)), np.nan) for _ in range(2))
        factors = np.full((count, len(group)), np.nan)
        level_floor = factor_floor = -np.inf
        if form == "multiplicative":
            level_floor, factor_floor = line[-1] * _SMALLEST, _LEAST_FACTOR
        if form == "additive" or (line.min() > 0 and first.min() > 0):
            levels[m], trends[m], factors[:m] = line[-1], slope, remove(first, line)[:, None]
        for t in range(m, count):
            before, base = factors[t - m], levels[t] + phi * trends[t]
            base = np.where(base > level_floor, base, np.nan)
            if np.isnan(series[t]):
                factors[t], levels[t + 1], trends[t + 1] = before, base, phi * trends[t]
                continue
            factor = gamma * remove(series[t], base) + (1 - gamma) * before
            factors[t] = np.maximum(factor, factor_floor)
            seen = remove(series[t], before)
            if form == "multiplicative":
                seen = np.minimum(seen, _MOST_RISE * base)
            levels[t + 1] = alpha * seen + (1 - alpha) * base
            trends[t + 1] = beta * (levels[t + 1] - levels[t]) + (1 - beta) * phi * trends[t]
        return cls(season=m, form=form, phi=phi, levels=levels, trends=trends, seasons=factors)

    def forecast(self, row: int, steps: int, sets: slice = slice(None)) -> Floats:
        """Forecasts by some sets of parameters for the intervals from a row on; (steps, sets), nan where none can."""
        damping = np.cumsum(self.phi[sets] ** np.arange(1, steps + 1)[:, None], axis=0)
        newest = row - self.season + np.arange(steps) % self.season
        combine = _OPERATIONS[self.form].combine
        line = self.levels[row, sets] + damping * self.trends[row, sets]
        expected: Floats = np.maximum(combine(line, self.seasons[newest, sets]), 0.0)
        return expected

    def misses(self, series: Floats, rows: range, horizon: int) -> Floats:
        """The summed error of the forecasts from those rows for each interval; (n, sets), inf where one is nan."""
        missed = np.zeros((len(series), len(self.phi)))
        for row in rows:
            actual = series[row : row + horizon, None]
            error = np.abs(self.forecast(row, len(actual)) - actual)
            missed[row : row + horizon] += np.where(np.isnan(actual), 0.0, error)
        return np.where(np.isnan(missed), np.inf, missed)


def _filled(season: Floats) -> Floats:
    """A season in which what is unknown is the mean of what is known."""
    known = season[~np.isnan(season)]
    return np.where(np.isnan(season), known.mean() if len(known) else np.nan, season)


def _holder(runs: Sequence[_Run], index: int) -> tuple[_Run, int]:
    """The run that holds a set of parameters of the grid, and its place in there."""
    for run in runs:
        if index < len(run.phi):
            return run, index
        index -= len(run.phi)
    raise IndexError(index)

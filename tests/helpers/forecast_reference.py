"""Slow and obvious forecasts to compare the fast ones with."""

import math
from collections.abc import Sequence

from planner.core.forecast.holt_winters import Smoothing


def holt_winters(series: Sequence[float], m: int, seasons: int, p: Smoothing, horizon: int) -> dict[int, list[float]]:
    """Forecasts of the recursions in Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", section 8.3.

    Row -> forecasts, for rows from m on; started from the first one or two seasons. Series must be above zero; a
    multiplicative level that falls to zero ends the forecasts. An interval lifts a multiplicative level by four times
    at most, and its factors stay above 0.02, which the book does not do.
    """
    first = sum(series[:m]) / m
    b = (sum(series[m : 2 * m]) / m - first) / m if seasons == 2 else 0.0
    line = [first + b * (i - (m - 1) / 2) for i in range(m)]
    level = line[-1]
    if p.form == "additive":
        s = [y - at for y, at in zip(series, line, strict=False)]
    else:
        s = [y / at for y, at in zip(series, line, strict=False)]
    rows = {}
    for t in range(m, len(series) + 1):
        row = []
        for h in range(1, horizon + 1):
            trend = sum(p.phi**k for k in range(1, h + 1)) * b
            season = s[t - m + (h - 1) % m]
            row.append(max(0.0, level + trend + season if p.form == "additive" else (level + trend) * season))
        rows[t] = row
        if t == len(series):
            break
        y, before = series[t], level
        if p.form == "multiplicative" and before + p.phi * b <= 0:
            return rows | {later: [math.nan] * horizon for later in range(t + 1, len(series) + 1)}
        if p.form == "additive":
            level = p.alpha * (y - s[t - m]) + (1 - p.alpha) * (before + p.phi * b)
            s.append(p.gamma * (y - before - p.phi * b) + (1 - p.gamma) * s[t - m])
        else:
            level = p.alpha * min(y / s[t - m], 4 * (before + p.phi * b)) + (1 - p.alpha) * (before + p.phi * b)
            s.append(max(0.02, p.gamma * y / (before + p.phi * b) + (1 - p.gamma) * s[t - m]))
        b = p.beta * (level - before) + (1 - p.beta) * p.phi * b
    return rows


def candidates(
    series: Sequence[float], m: int, grid: Sequence[Smoothing], horizon: int
) -> dict[int, list[tuple[float, list[float]]]]:
    """Row -> for each set of parameters what it has missed the intervals before the row by, and its forecasts."""
    n = len(series)
    young = [holt_winters(series, m, 1, p, horizon) for p in grid]
    grown = [holt_winters(series, m, 2, p, horizon) if n >= 2 * m else {} for p in grid]

    def of(index: int, row: int) -> list[float]:
        return (young if row < 2 * m else grown)[index][row]

    def missed(index: int, row: int) -> float:
        misses = [
            abs(of(index, origin)[step] - series[origin + step])
            for origin in range(m, row)
            for step in range(horizon)
            if origin + step < row
        ]
        return math.inf if math.isnan(sum(misses) + of(index, row)[0]) else sum(misses)

    return {row: [(missed(k, row), of(k, row)) for k in range(len(grid))] for row in range(m, n + 1)}


def quantile(
    series: Sequence[float],
    forecasts: Sequence[Sequence[float]],
    share: float,
    row: int,
    step: int,
    least: float,
    settled: int,
) -> float:
    """The quantile of one row and step: from the errors of that step that are known at the row.

    Those of rows before `settled` count only while the others are too few.
    """

    def size(at: int) -> float:
        return forecasts[at][step] + least * (sum(series[:at]) / at if at else 0.0)

    for first in (settled, 0):
        errors = sorted(
            (series[at + step] - forecasts[at][step]) / size(at)
            for at in range(first, row - step)
            if not math.isnan(forecasts[at][step]) and size(at) > 1e-9  # anything smaller is no demand
        )
        rank = math.ceil(round((len(errors) + 1) * share, 9))
        if rank <= len(errors):
            return max(0.0, forecasts[row][step] + errors[rank - 1] * size(row))
    return math.nan

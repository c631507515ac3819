"""The usual demand of every slot of a week, robust against single days. Pure."""

import numpy as np

from planner.core.forecast.base import DAYS_PER_WEEK
from planner.units import Floats, Ints

PAD = 0.05
"""Share of the mean profile added before logarithms are taken, so that nights near zero weigh little. Assumed."""
_WEEKDAY_PRIOR, _SLOT_PRIOR = 0.05, 0.1
"""Days that the whole week is worth against those of one weekday: for its size, and for its shape. Fitted: more of them
gain 2 % on days without shapes of their own, and cost 20 to 50 % where weekends differ by night (taxi rides of New
York)."""
_REACH = 8
"""Slots over which a gap in a day takes its shape from the slots beside it. Fitted to the noise of drawn days."""


def week_profile(days: Floats, weekdays: Ints) -> Floats:
    """The usual demand by weekday and slot, (7, slots), from days (n, slots) in which nan is unknown.

    weekdays: (n,), 0 to 6. Weekdays without a day have the profile of all days. nan where nothing is known at all.
    """
    usual = _without_gaps(median(days))
    profile = np.tile(usual, (DAYS_PER_WEEK, 1))
    pad = PAD * float(usual.mean())
    if not pad > 0:
        return profile
    logs = np.log((days + pad) / (usual + pad))
    own, counts = _by_weekday(logs[mostly_known(days)], weekdays[mostly_known(days)])
    sizes = _weighted_medians(own.reshape(DAYS_PER_WEEK, -1), np.tile(usual, own.shape[1]))
    shapes = own - sizes[:, None, None]
    for weekday, day in np.argwhere(np.isnan(shapes).any(axis=2)):
        shapes[weekday, day] = _bridged(shapes[weekday, day])
    seen = np.count_nonzero(~np.isnan(shapes), axis=1)
    rest = np.nan_to_num(_medians(shapes)) * seen / (seen + _SLOT_PRIOR)
    logs = (sizes * counts / (counts + _WEEKDAY_PRIOR))[:, None] + _smoothed(rest)
    profile[counts > 0] = np.maximum((usual + pad) * np.exp(logs) - pad, 0.0)[counts > 0]
    return profile


def _by_weekday(days: Floats, weekdays: Ints) -> tuple[Floats, Ints]:
    """Days (n, slots) by weekday, (7, most of one, slots), nan where there are fewer; and how many there are, (7,)."""
    counts = np.bincount(weekdays, minlength=DAYS_PER_WEEK)
    own = np.full((DAYS_PER_WEEK, counts.max(initial=0), days.shape[1]), np.nan)
    for weekday, count in enumerate(counts):
        own[weekday, :count] = days[weekdays == weekday]
    return own, counts


def mostly_known(days: Floats) -> np.ndarray:
    """Which days (n, slots) have at least half of their slots; (n,)."""
    known: np.ndarray = np.count_nonzero(~np.isnan(days), axis=1) * 2 >= days.shape[1]
    return known


def median(rows: Floats) -> Floats:
    """Medians over the rows (n, slots) that are known; (slots,), nan where none is."""
    found: Floats = _medians(rows[None])[0]
    return found


def _medians(groups: Floats) -> Floats:
    """The median of every group of rows, (groups, n, slots), as `median`; (groups, slots)."""
    count, most, slots = groups.shape
    if not most:
        return np.full((count, slots), np.nan)
    ordered = np.sort(groups, axis=1)  # nan comes last
    known = np.count_nonzero(~np.isnan(groups), axis=1)
    low, high = np.maximum(known - 1, 0) // 2, known // 2
    high = np.minimum(high, np.maximum(known - 1, 0))
    group, slot = np.arange(count)[:, None], np.arange(slots)
    middles: Floats = (ordered[group, low, slot] + ordered[group, high, slot]) / 2
    return middles


def weighted_median(values: Floats, weights: Floats) -> float:
    """The median of known values, each counted by its weight; nan where no known value has one."""
    counts = ~np.isnan(values) & (weights > 0)
    if not counts.any():
        return float("nan")
    order = np.argsort(values[counts], kind="stable")
    ordered, running = values[counts][order], np.cumsum(weights[counts][order])
    return float(ordered[np.searchsorted(running, running[-1] / 2)])


def _weighted_medians(rows: Floats, weights: Floats) -> Floats:
    """The median of every row (rows, n), as `weighted_median` with the same weights (n,); (rows,)."""
    if not rows.shape[1]:
        return np.full(len(rows), np.nan)
    order, row = np.argsort(rows, axis=1, kind="stable"), np.arange(len(rows))
    running = np.cumsum(np.where(np.isnan(rows), 0.0, weights)[row[:, None], order], axis=1)
    half = running[:, -1:] / 2
    at = np.argmax((running >= half) & (running > 0), axis=1)
    found: Floats = np.where(half[:, 0] > 0, rows[row, order[row, at]], np.nan)
    return found


def _bridged(row: Floats) -> Floats:
    """A day's shape with its gaps filled from both sides, the less the farther away those are."""
    unknown = np.isnan(row)
    if not unknown.any() or unknown.all():
        return row
    gaps, known = np.flatnonzero(unknown), np.flatnonzero(~unknown)
    right = np.searchsorted(known, gaps)
    beside = np.stack([known[np.maximum(right - 1, 0)], known[np.minimum(right, len(known) - 1)]])
    away = np.abs(beside - gaps).min(axis=0)
    filled = row.copy()
    filled[gaps] = np.interp(gaps, known, row[known]) * np.exp(-away / _REACH)
    return filled


def _smoothed(rows: Floats) -> Floats:
    padded = np.concatenate([rows[..., :1], rows, rows[..., -1:]], axis=-1)
    smooth: Floats = padded[..., :-2] / 4 + padded[..., 1:-1] / 2 + padded[..., 2:] / 4
    return smooth


def _without_gaps(row: Floats) -> Floats:
    """Slots that no day knows lie between those beside them."""
    unknown = np.isnan(row)
    if not unknown.any() or unknown.all():
        return row
    places = np.arange(len(row))
    return np.interp(places, places[~unknown], row[~unknown])

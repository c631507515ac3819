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
    for weekday in range(DAYS_PER_WEEK):
        own = logs[(weekdays == weekday) & mostly_known(days)]
        if not len(own):
            continue
        size = weighted_median(own.ravel(), np.tile(usual, len(own)))
        shape = np.array([_bridged(row - size) for row in own])
        seen = (~np.isnan(shape)).sum(axis=0)
        rest = np.nan_to_num(median(shape)) * seen / (seen + _SLOT_PRIOR)
        log = size * len(own) / (len(own) + _WEEKDAY_PRIOR) + _smoothed(rest)
        profile[weekday] = np.maximum((usual + pad) * np.exp(log) - pad, 0.0)
    return profile


def mostly_known(days: Floats) -> np.ndarray:
    """Which days (n, slots) have at least half of their slots; (n,)."""
    known: np.ndarray = np.count_nonzero(~np.isnan(days), axis=1) * 2 >= days.shape[1]
    return known


def median(rows: Floats) -> Floats:
    """Medians over the rows (n, slots) that are known; (slots,), nan where none is."""
    if not len(rows):
        return np.full(rows.shape[1], np.nan)
    ordered = np.sort(rows, axis=0)  # nan comes last
    known = np.count_nonzero(~np.isnan(rows), axis=0)
    low, high = np.maximum(known - 1, 0) // 2, known // 2
    high = np.minimum(high, np.maximum(known - 1, 0))
    slots = np.arange(rows.shape[1])
    middle: Floats = (ordered[low, slots] + ordered[high, slots]) / 2
    return middle


def weighted_median(values: Floats, weights: Floats) -> float:
    """The median of known values, each counted by its weight; nan where no known value has one."""
    counts = ~np.isnan(values) & (weights > 0)
    if not counts.any():
        return float("nan")
    order = np.argsort(values[counts], kind="stable")
    ordered, running = values[counts][order], np.cumsum(weights[counts][order])
    return float(ordered[np.searchsorted(running, running[-1] / 2)])


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


def _smoothed(row: Floats) -> Floats:
    padded = np.concatenate([row[:1], row, row[-1:]])
    smooth: Floats = padded[:-2] / 4 + padded[1:-1] / 2 + padded[2:] / 4
    return smooth


def _without_gaps(row: Floats) -> Floats:
    """Slots that no day knows lie between those beside them."""
    unknown = np.isnan(row)
    if not unknown.any() or unknown.all():
        return row
    places = np.arange(len(row))
    return np.interp(places, places[~unknown], row[~unknown])

"""The hour that a clock shows twice when it is put back: which of the two a row belongs to."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from planner.units import Bools, Floats, Ints

_LEAST_PART = 6
"""Part of the repeated time that a step back has to be longer than: rows that are written when a call ends are a few
minutes out of order by themselves. Assumed."""


class Split(NamedTuple):
    """Which rows are of the second time; and how many of them the order does not tell, and are divided evenly."""

    is_second: Bools
    undecided: int


def tell_apart(first_us: Ints, second_us: Ints, files: Ints, trends: Floats) -> Split:
    """Tell the two apart by the order of rows in their file: what comes after the one step back is of the second time.

    In a file that goes from the newest row to the oldest, what comes before the one step forward is. The rows of files
    that make no step of a sixth of the time that is repeated, or several, are divided evenly: every other one is of the
    second time. One file says nothing about another: it may be of another server, or begin where the other one ends.

    Args:
        first_us, second_us: the two moments at which the clock shows the row's time, microseconds; (n,) in the order of
            the files, rows of any number of changes of the clock.
        files: which file a row is in.
        trends: above 0 where times in the row's file get later, apart from those that are shown twice, below 0 where
            they get earlier, and 0 where they do not tell, which is taken for later.
    """
    is_second = np.zeros(len(first_us), bool)
    undecided = 0
    apart_us = second_us - first_us
    for rows in _changes(first_us, apart_us):
        rest = []
        bounds = np.flatnonzero(np.diff(files[rows])) + 1
        for own in np.split(rows, bounds):
            second = _in_order(first_us[own], apart_us[own], trends[own[0]])
            if second is None:
                rest.append(own)
            else:
                is_second[own] = second
        if rest:
            untold = np.concatenate(rest)
            is_second[untold[1::2]] = True
            undecided += len(untold)
    return Split(is_second, undecided)


def _changes(first_us: Ints, apart_us: Ints) -> Iterator[Ints]:
    """The rows of each change of the clock, in the order of the files: they lie within the time that it repeats."""
    order = np.argsort(first_us, kind="stable")
    sorted_us = first_us[order]
    starts = np.flatnonzero(np.diff(sorted_us, prepend=sorted_us[:1] - 2 * apart_us.max(initial=1)) > apart_us[order])
    for rows in np.split(order, starts[1:]):
        if len(rows):
            yield np.sort(rows)


def _in_order(first_us: Ints, apart_us: Ints, trend: float) -> Bools | None:
    """Which rows of one file are of the second time; None where their order does not tell."""
    is_newest_first = trend < 0
    steps = -np.diff(first_us) if is_newest_first else np.diff(first_us)
    back = np.flatnonzero(steps < -apart_us[1:] // _LEAST_PART)
    if len(back) != 1:
        return None
    after: Bools = np.arange(len(first_us)) > back[0]
    return ~after if is_newest_first else after

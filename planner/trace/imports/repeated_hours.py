"""The hour that a clock shows twice when it is put back: which of the two a row belongs to."""

from typing import NamedTuple

import numpy as np

from planner.units import Bools, Ints


class Split(NamedTuple):
    """Which rows are of the second time; and how many of them the order does not tell, and are divided evenly."""

    is_second: Bools
    undecided: int


def tell_apart(first_us: Ints, second_us: Ints) -> Split:
    """Tell the two apart by the order of rows: what comes after the one step back is of the second time.

    Where the rows make no step back of half the time that is repeated, or several, they are divided evenly: every other
    row is of the second time.

    Args:
        first_us, second_us: the two moments at which the clock shows the row's time, microseconds; (n,) in the order of
            the file, rows of any number of changes of the clock.
    """
    is_second = np.zeros(len(first_us), bool)
    undecided = 0
    # rows of one change of the clock lie within the time that it repeats
    apart_us = second_us - first_us
    order = np.argsort(first_us, kind="stable")
    sorted_us = first_us[order]
    starts = np.flatnonzero(np.diff(sorted_us, prepend=sorted_us[:1] - 2 * apart_us.max(initial=1)) > apart_us[order])
    for rows in np.split(order, starts[1:]):
        rows = np.sort(rows)
        back = np.flatnonzero(np.diff(first_us[rows]) < -apart_us[rows][1:] // 2)
        if len(back) == 1:
            is_second[rows[back[0] + 1 :]] = True
        else:
            is_second[rows[1::2]] = True
            undecided += len(rows)
    return Split(is_second, undecided)

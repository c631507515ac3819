"""The requests that a sample lacks: when they arrive, by the law that its own rows show inside a cell of time. Pure.

A cell is halved again and again. How the requests of a part divide over its halves does not depend on how many of them
a sample holds, so the unevenness that the sample shows beyond chance, at each length of time, is that of the whole. The
share of a half is drawn given the sample's own rows in both: even where the sample shows no bursts, near the sample's
where it does, and near it too where a part looks like a break, in which something begins or ends.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.units import Floats, Ints

LEVELS = 12
"""How often a cell is halved: parts of a cell of 15 minutes last 0.22 s."""
_CLEAR = 3.0
"""Standard errors by which a sample has to be more uneven than chance."""
_BREAKS = 1e-3
"""Assumed: share of the parts in which something begins or ends, so that any division is as likely as another."""
_LEAST_ROWS = 14
"""Rows below which no division is unlikely enough to be taken for a break."""
_SERIES_FROM = 8


@dataclass(frozen=True)
class CellRows:
    """The sample's rows of one cell in order of arrival. Arrays (rows,).

    offset_us: arrival from the cell's start, less than length_us. group: rows of a group are divided by themselves,
    numbered from 0. session: -1 where there is none.
    """

    length_us: int
    offset_us: Ints
    group: Ints
    session: Ints


@dataclass(frozen=True)
class Missing:
    """The requests that are missing in a cell. Arrays (missing,): arrival from its start, the row each is like, and
    which copy of it, from 0."""

    offset_us: Ints
    row: Ints
    copy: Ints


class Unevenness:
    """How unevenly rows divide over halves of parts of cells, beyond chance; gathered from all cells of a sample."""

    def __init__(self) -> None:
        self._excess = np.zeros(LEVELS)
        self._pairs = np.zeros(LEVELS)

    def add(self, rows: CellRows) -> None:
        """Count the rows of a cell."""
        keys = _keys(rows)
        for level in range(LEVELS):
            nodes, first = np.unique(keys >> (LEVELS - level), return_index=True)
            count = np.diff(np.append(first, len(keys)))
            right = np.add.reduceat((keys >> (LEVELS - level - 1)) & 1, first) if len(nodes) else count
            self._excess[level] += float(((count - 2 * right) ** 2 - count).sum())
            self._pairs[level] += float((count * (count - 1)).sum())

    def shares(self) -> Floats:
        """The variance of (2 share of a half - 1) at each level, 0 where it cannot be told from chance; (LEVELS,)."""
        pairs = np.maximum(self._pairs, 1.0)
        is_clear = self._excess > _CLEAR * np.sqrt(2 * pairs)
        spread: Floats = np.where(is_clear, np.minimum(self._excess / pairs, 0.99), 0.0)
        return spread


def missing_requests(rows: CellRows, weight: int, spread: Floats, random: np.random.Generator) -> Missing:
    """What a cell lacks of the requests that its rows stand for: weight - 1 like each of them.

    spread: of Unevenness. Each group gets its own arrivals, and who arrives when within it is left to chance; the
    requests that are like the rows of one session come in the session's order.
    """
    groups, offsets = _arrivals(rows, weight, spread, random)
    order = np.lexsort((random.random(len(groups)), groups))
    like = np.repeat(np.argsort(rows.group, kind="stable"), weight - 1)
    copies = np.tile(np.arange(weight - 1), len(rows.group))
    times = offsets[order]
    sessions = rows.session[like]
    inside = np.flatnonzero(sessions >= 0)
    if len(inside):
        own = sessions[inside], copies[inside]
        by_row = inside[np.lexsort((like[inside], own[1], own[0]))]
        by_time = inside[np.lexsort((times[inside], own[1], own[0]))]
        times[by_row] = times[by_time]
    return Missing(times, like, copies)


def _keys(rows: CellRows) -> Ints:
    """Group and smallest part of every row as one number, in order."""
    part = (rows.offset_us << LEVELS) // rows.length_us
    return np.sort((rows.group << LEVELS) + part)


def _arrivals(rows: CellRows, weight: int, spread: Floats, random: np.random.Generator) -> tuple[Ints, Ints]:
    """Group and time of every missing request, in no order within a group."""
    keys = _keys(rows)
    nodes, first = np.unique(keys >> LEVELS, return_index=True)
    lacking = np.diff(np.append(first, len(keys))) * (weight - 1)
    groups: list[Ints] = []
    offsets: list[Ints] = []

    def place(done: Ints, count: Ints, level: int) -> None:
        """Requests anywhere in their parts."""
        part = np.repeat(done, count)
        at = part & ((1 << level) - 1)
        start, end = (at * rows.length_us) >> level, ((at + 1) * rows.length_us) >> level
        groups.append(part >> level)
        offsets.append(start + (random.random(len(part)) * (end - start)).astype(np.int64))

    for level in range(LEVELS):
        width = LEVELS - level
        edges = [np.searchsorted(keys, edge) for edge in (nodes << width, ((2 * nodes + 1) << width) >> 1)]
        left, count = edges[1] - edges[0], np.searchsorted(keys, (nodes + 1) << width) - edges[0]
        if not spread[level:].any():
            even = count < _LEAST_ROWS
            place(nodes[even], lacking[even], level)
            nodes, lacking, left, count = (of[~even] for of in (nodes, lacking, left, count))
        to_left = random.binomial(lacking, _share_of_left(left, count - left, float(spread[level]), random))
        nodes = np.concatenate([2 * nodes, 2 * nodes + 1])
        lacking = np.concatenate([to_left, lacking - to_left])
        nodes, lacking = nodes[lacking > 0], lacking[lacking > 0]
    place(nodes, lacking, LEVELS)
    found = np.concatenate(groups)
    order = np.argsort(found, kind="stable")
    return found[order], np.concatenate(offsets)[order]


def _share_of_left(left: Ints, right: Ints, spread: float, random: np.random.Generator) -> Floats:
    """Shares of left halves, drawn given the sample's rows in both halves."""
    share = np.full(len(left), 0.5)
    break_like = _beta_log(1.0 + left, 1.0 + right) - np.log(1 / _BREAKS - 1)
    if spread > 0:
        shape = (1 / spread - 1) / 2
        one = np.array([shape])
        smooth_like = _beta_log(shape + left, shape + right) - _beta_log(one, one)
        share = random.beta(shape + left, shape + right)
    else:
        smooth_like = -(left + right) * np.log(2)
    is_break = np.log(random.random(len(left))) < break_like - np.logaddexp(break_like, smooth_like)
    share[is_break] = random.beta(1.0 + left[is_break], 1.0 + right[is_break])
    return share


def _beta_log(a: NDArray[np.floating], b: NDArray[np.floating]) -> Floats:
    """Logarithm of the beta function."""
    return gamma_log(a) + gamma_log(b) - gamma_log(a + b)


def gamma_log(x: NDArray[np.floating]) -> Floats:
    """Logarithm of the gamma function above 0, by Stirling's series from 8 on and the recurrence below."""
    steps = np.zeros_like(x)
    for step in range(_SERIES_FROM):
        steps += np.log(x + step)
    y = x + _SERIES_FROM
    result: Floats = (y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + 1 / (12 * y) - 1 / (360 * y**3) - steps
    return result

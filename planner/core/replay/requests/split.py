"""Which pool of a mixed fleet a request goes to: by a number from a seed and its place in the replay. Pure.

A later turn of a session goes to the pool of the turn before, where its KV may be, as long as that pool has a share of
the requests of its class in the interval: one without a share may hold no units. Then it is drawn like a first turn,
and the session stays where it has gone. So the shares of pools are those of the weights for first turns, and near them
for all.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.core.demand import Demand, Grid
from planner.core.replay.requests.model import Requests
from planner.units import Floats, Ints

_STREAM = np.uint64(7)
"""Of numbers: after those with which balancers and failures of the three roles choose. As in the kernels, where a test
holds the two together."""
_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Router:
    """What a router is told.

    grid: the intervals. weights: (intervals, classes, pools), that add up to 1 over the pools.
    """

    grid: Grid
    weights: Floats
    seed: int

    def interval_of(self, requests: Requests, origin_us: int) -> Ints:
        """The number of each request's interval. origin_us: UTC epoch microseconds that their times count from."""
        found: Ints = (requests.arrival_us + origin_us - self.grid.start_us) // self.grid.interval_us
        return found

    def pools(self, requests: Requests, first: int, origin_us: int) -> Ints:
        """The number of each request's pool, whatever its session.

        first: place of the first of them among those that are replayed. origin_us: as for `interval_of`.
        """
        drawn = uniforms(self.seed, first, len(requests))
        edges = self._edges[self.interval_of(requests, origin_us), requests.class_id]
        found: Ints = (drawn[:, np.newaxis] >= edges).sum(axis=1)
        return found

    @cached_property
    def _edges(self) -> Floats:
        """The number from which a request goes to the next pool, (intervals, classes, pools - 1)."""
        running = np.cumsum(self.weights, axis=2)
        # rounding must not open a pool that has no share
        after = np.cumsum(self.weights[:, :, ::-1], axis=2)[:, :, ::-1]
        edges: Floats = np.where(after[:, :, 1:] > 0, running[:, :, :-1], 1.0)
        return edges


@dataclass(frozen=True, kw_only=True)
class PoolPart:
    """The requests of a replay that one pool gets. number: of the pool. demand: of all requests."""

    router: Router
    number: int
    demand: Demand


class RoutedSessions:
    """A router that knows where every session is, as far as the replay has come."""

    def __init__(self, router: Router, origin_us: int) -> None:
        """origin_us: UTC epoch microseconds that times of requests count from."""
        self._router, self._origin_us = router, origin_us
        self._requests = 0
        self._ids, self._at = np.empty(0, np.int64), np.empty(0, np.int64)

    def pools(self, requests: Requests) -> Ints:
        """The number of each request's pool. requests: those after the ones before, in order of arrival."""
        found = self._router.pools(requests, self._requests, self._origin_us)
        self._requests += len(requests)
        turns = np.flatnonzero(requests.session_id >= 0)
        if not len(turns):
            return found
        turns = turns[np.argsort(requests.session_id[turns], kind="stable")]
        ids, begin, counts = np.unique(requests.session_id[turns], return_index=True, return_counts=True)
        # those of the most turns first, so that the sessions that have so many are always the first of them
        order = np.argsort(-counts, kind="stable")
        ids, begin, counts = ids[order], begin[order], counts[order]
        at = self._known(ids)
        interval = self._router.interval_of(requests, self._origin_us)
        for number, sessions in enumerate(np.searchsorted(-counts, -np.arange(counts[0])).tolist()):
            own = slice(sessions)
            rows, before = turns[begin[own] + number], at[own]
            shares = self._router.weights[interval[rows], requests.class_id[rows], before]
            found[rows] = at[own] = np.where((before >= 0) & (shares > 0), before, found[rows])
        self._keep(ids, at)
        return found

    def _known(self, ids: Ints) -> Ints:
        """The pools of sessions; -1 of new ones. ids: each once."""
        place = np.searchsorted(self._ids, ids)
        known = np.append(self._ids, -1)[place] == ids
        found: Ints = np.where(known, np.append(self._at, -1)[place], -1)
        return found

    def _keep(self, ids: Ints, at: Ints) -> None:
        others = ~np.isin(self._ids, ids, assume_unique=True)
        every, pools = np.concatenate([self._ids[others], ids]), np.concatenate([self._at[others], at])
        order = np.argsort(every)
        self._ids, self._at = every[order], pools[order]


def uniforms(seed: int, first: int, count: int) -> Floats:
    """Numbers from 0 to 1, one for each whole number from `first` on."""
    with np.errstate(over="ignore"):
        key = _mixed(np.array([seed], np.uint64) + _STEP * _STREAM)
        bits = _mixed(key ^ np.arange(first, first + count, dtype=np.uint64))
    drawn: Floats = (bits >> np.uint64(11)).astype(np.float64) / 2**53
    return drawn


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits (the finaliser of splitmix64, public domain)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))

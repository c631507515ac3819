"""Which pool of a mixed fleet a request goes to: by a number from a seed and its place in the replay. Pure."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.core.demand import Demand, Grid
from planner.core.replay.requests.model import Requests
from planner.units import Bools, Floats, Ints

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

    def pools(self, requests: Requests, first: int, origin_us: int) -> Ints:
        """The number of each request's pool.

        first: place of the first of them among those that are replayed. origin_us: UTC epoch microseconds that their
        times count from.
        """
        interval = (requests.arrival_us + origin_us - self.grid.start_us) // self.grid.interval_us
        drawn = uniforms(self.seed, first, len(requests))
        edges = self._edges[interval, requests.class_id]
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

    def of(self, requests: Requests, first: int, origin_us: int) -> Bools:
        """Which of the requests. Arguments as for `Router.pools`."""
        own: Bools = self.router.pools(requests, first, origin_us) == self.number
        return own


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

"""Reading log-bucketed histograms of latencies. Pure."""

import numpy as np
from numpy.typing import NDArray

from planner.units import Floats

E2E, TPOT = range(2)
"""Histograms of decode, as in the kernels."""
SUB_BUCKETS = 128
"""Buckets per doubling; as in the kernels, where a test holds the two together."""


def bucket_edges_us(buckets: int) -> Floats:
    """Where buckets begin, and where the last one ends: (buckets + 1,) microseconds."""
    index = np.arange(buckets + 1)
    edges: Floats = np.exp2(index // SUB_BUCKETS) * (1 + (index % SUB_BUCKETS) / SUB_BUCKETS)
    return edges


def quantiles_ms(counts: NDArray[np.int32] | NDArray[np.int64], shares: tuple[float, ...]) -> list[float | None]:
    """Quantiles of a histogram, (buckets,), in ms; each within 0.4 % of the exact one. None where nothing was counted.

    The smallest latency that at least the share of requests do not exceed, taken as the middle of its bucket.
    """
    total = int(counts.sum())
    if total == 0:
        return [None for _ in shares]
    edges = bucket_edges_us(len(counts))
    running = np.cumsum(counts)
    buckets = [int(np.searchsorted(running, max(1, np.ceil(share * total)))) for share in shares]
    return [float(edges[index] + edges[index + 1]) / 2e3 for index in buckets]


def attained(met: Floats, counted: Floats) -> float | None:
    """Share of requests inside a target; None where none was counted."""
    total = float(np.sum(counted))
    return float(np.sum(met)) / total if total else None

"""Samples of uncertain values and their effect on outcomes: Latin hypercube, quantiles, rank correlation. Pure."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from planner.units import Floats

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles that are reported: the middle, the middle half, and nine cases in ten."""

_COLUMN_STREAM = 0
_SEED_STREAM = 1
_SEEDS = 2**31
"""Seeds of cases are below: they fit any integer column."""


@dataclass(frozen=True)
class Law:
    """The distribution of one parameter's values.

    uniform and log-uniform: equally likely, or equally likely in the logarithm; triangular: likelihood rises in a
    straight line from low to top and falls to high. low < high; low > 0 for log-uniform; top within both.
    """

    kind: Literal["uniform", "log-uniform", "triangular"]
    low: float
    high: float
    top: float

    def values(self, shares: ArrayLike) -> Floats:
        """Values below which shares of the likelihood lie: the inverse distribution function. shares: in [0, 1]."""
        share = np.asarray(shares, np.float64)
        width = self.high - self.low
        if self.kind == "uniform":
            values = self.low + share * width
        elif self.kind == "log-uniform":
            values = self.low * (self.high / self.low) ** share
        else:
            rising = (self.top - self.low) / width
            up = self.low + np.sqrt(share * width * (self.top - self.low))
            down = self.high - np.sqrt((1 - share) * width * (self.high - self.top))
            values = np.where(share < rising, up, down)
        clipped: Floats = np.clip(values, self.low, self.high)
        return clipped


def latin_hypercube(names: Sequence[str], cases: int, seed: int) -> dict[str, Floats]:
    """Shares of likelihood for every name, (cases,) each: one in every cases-th part of [0, 1), in random order.

    A name's column depends on the name, the seed and the number of cases only, not on the other names.
    """
    columns = {}
    for name in names:
        random = _random(seed, _COLUMN_STREAM, name)
        columns[name] = (random.permutation(cases) + random.random(cases)) / cases
    return columns


def seeds(name: str, count: int, seed: int) -> list[int]:
    """Seeds for draws inside cases; the first ones do not depend on the count."""
    return [int(value) for value in _random(seed, _SEED_STREAM, name).integers(0, _SEEDS, count)]


def _random(seed: int, stream: int, name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(stream, zlib.crc32(name.encode()))))


def quantiles(values: ArrayLike) -> dict[str, float | None]:
    """p5, p25, p50, p75, p95 (linear between order statistics) and the mean; None where there are no values."""
    sample = np.asarray(values, np.float64)
    names = [f"p{100 * share:g}" for share in QUANTILES]
    if not len(sample):
        return dict.fromkeys([*names, "mean"])
    levels = np.quantile(sample, QUANTILES)
    return {**dict(zip(names, map(float, levels), strict=True)), "mean": float(sample.mean())}


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float | None:
    """Spearman's: the correlation of the ranks, from -1 to 1; equal values share a rank. None where one is constant."""
    x, y = (_ranks(np.asarray(values, np.float64)) for values in (one, other))
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))


def _ranks(values: Floats) -> Floats:
    """Places in order from 0; the mean place where values are equal."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    ranks: Floats = (last - (count + 1) / 2)[place]
    return ranks


@dataclass(frozen=True)
class Bar:
    """One parameter's effect on one outcome: the values at both ends, the others at the base. low and high: None
    where there is no such outcome."""

    parameter: str
    base: float | None
    low: float | None
    high: float | None

    @property
    def swing(self) -> float:
        """From the least to the largest of the three; 0 where nothing is known."""
        known = [value for value in (self.base, self.low, self.high) if value is not None]
        return max(known) - min(known) if known else 0.0


def tornado(base: float | None, ends: Mapping[str, tuple[float | None, float | None]]) -> list[Bar]:
    """Bars by swing, the widest first; equal ones by name. ends: outcomes at both ends for every parameter."""
    bars = [Bar(parameter, base, low, high) for parameter, (low, high) in ends.items()]
    return sorted(bars, key=lambda bar: (-bar.swing, bar.parameter))

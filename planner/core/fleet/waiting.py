"""How long requests wait for their first token: a prefill unit as a queue served in passes. Pure.

A free unit takes everything that waits into one pass (chunks of prompts; the rest of a prompt follows in the next),
so the length of a pass depends on that of the pass before: more has arrived during a long one. Lengths of passes are
a Markov chain, whose lasting distribution is solved for on a grid; a request waits for the rest of the pass that it
finds (longer ones are found more often), then takes part in as many passes as its prompt has chunks.

Approximations: arrivals at a unit are Poisson; chunks that continue count as further arrivals; a pass takes the longer
of its longest chunk and its whole work, taken as independent. Where more comes than the tokens of a pass hold, a
backlog waits for further passes: exponential, its mean by Kingman's formula, shared by the units among which a balancer
evens queues. Checked against the replay of every request (tests): with a balancer that evens queues, mean and 99th
percentile come out within 15 % as long as passes hold what comes, and the load at which they no longer do within 5 %;
with a random one the 99th percentile is up to 45 % too low close to that load.
"""

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import ArrayLike

from planner.errors import UsageError
from planner.units import Floats

_POINTS = 256
"""Points of the grid of lengths: a target is about 170 of them, so a quantile is known to half a per cent of it."""
_HALVINGS = 10
"""Steps to the largest load: known to a thousandth."""
_TURNS, _SETTLED = 2000, 1e-9
"""The chain has settled when a turn moves less than this; close to full load that takes too long."""
_DEVIATIONS = np.linspace(-6.0, 6.0, 1201)
_NORMAL = np.array([(1 + erf(deviation / sqrt(2))) / 2 for deviation in _DEVIATIONS])
"""Normal distribution function, to be interpolated."""


@dataclass(frozen=True)
class Prompts:
    """Kinds of prompts, arrays (n,): share of requests, tokens not found in the cache, tokens found."""

    share: Floats
    missed: Floats
    hit: Floats

    @property
    def input_tokens(self) -> float:
        """Mean prompt, cache hits included."""
        return float(self.share @ (self.missed + self.hit))


@dataclass(frozen=True, kw_only=True)
class PrefillUnit:
    """Speeds of a prefill unit. m tokens after h take one rank m * (missed_us + context_us * (h + m/2)) us.

    A pass takes pass_us and the longer of its longest chunk on one rank and its whole work over `parallel` ranks; it
    has at most pass_tokens. pooled: units among which a balancer that looks at queues evens them; 1 for none.
    """

    parallel: float
    missed_us: float
    context_us: float
    pass_us: float
    pass_tokens: int
    chunk_tokens: int
    pooled: int = 1

    def chunks(self, prompts: Prompts) -> tuple[Floats, Floats]:
        """Time of every chunk alone on one rank, (chunks, n), and whether there is one, 1.0 or 0.0."""
        numbers = np.arange(max(1, int(np.ceil(prompts.missed.max() / self.chunk_tokens))))[:, None]
        tokens = np.clip(prompts.missed - numbers * self.chunk_tokens, 0, self.chunk_tokens)
        context = prompts.hit + numbers * self.chunk_tokens
        exists = (tokens > 0) | (numbers == 0)
        return tokens * (self.missed_us + self.context_us * (context + tokens / 2)), exists.astype(np.float64)

    def load(self, prompts: Prompts, per_s: float) -> float:
        """Share of its time that a unit works for so many prompts per second, passes apart; above 1 it falls behind."""
        times, _ = self.chunks(prompts)
        return float(times.sum(axis=0) @ prompts.share) / self.parallel * per_s / 1e6


@dataclass(frozen=True)
class Ttft:
    """Distribution of the time to the first token: probabilities of multiples of step_us, the last: as long or more."""

    probability: Floats
    step_us: float

    @property
    def mean_us(self) -> float:
        """Mean; too small where the grid ends too early."""
        return float(self.probability @ np.arange(len(self.probability))) * self.step_us

    def quantile_us(self, share: float) -> float:
        """The time within which a share of requests has its first token; infinite beyond the grid."""
        place = int(np.searchsorted(np.cumsum(self.probability), share))
        return place * self.step_us if place < len(self.probability) - 1 else np.inf


def ttft(unit: PrefillUnit, prompts: Prompts, per_s: float, horizon_us: float) -> Ttft:
    """Time to the first token at one prefill unit that gets so many prompts per second.

    horizon_us: longest time that is resolved. Raises UsageError where the unit cannot keep up.
    """
    if unit.load(prompts, per_s) >= 1:
        raise UsageError(f"{per_s:g} prompts per second are more than a prefill unit can process; lower the rate")
    return _Chain(unit, prompts, per_s, horizon_us).ttft()


def largest_rate(unit: PrefillUnit, prompts: Prompts, target_us: float, share: float) -> float:
    """Most prompts per second of a unit at which a share of them has its first token in time; 0 where none has."""
    full = 1 / unit.load(prompts, 1.0)
    low, high = 0.0, full
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        met = ttft(unit, prompts, middle, 1.5 * target_us).quantile_us(share) <= target_us
        low, high = (middle, high) if met else (low, middle)
    return low


class _Chain:
    """Passes of a unit one after the other, on a grid of lengths without what every pass takes."""

    def __init__(self, unit: PrefillUnit, prompts: Prompts, per_s: float, horizon_us: float) -> None:
        self.unit, self.prompts = unit, prompts
        self.step = horizon_us / _POINTS
        self.grid = np.arange(_POINTS + 1) * self.step
        self.times, exists = unit.chunks(prompts)
        self.weights = exists * prompts.share
        self.per_us = per_s / 1e6
        self.chunks_per_us = per_s * float(self.weights.sum()) / 1e6
        self.lasts: Floats = np.add(self.grid, unit.pass_us)
        self.longest = self._cdf(self.times, self.weights)
        expected: Floats = self.chunks_per_us * self.lasts[:, None]
        # mean and variance of the work that arrives during a pass, a compound Poisson sum
        mean, square = self._moments(self.times, self.weights)
        self.work: tuple[Floats, Floats] = (expected * mean, expected * square)
        self.all_shorter = np.exp(-expected * (1 - self.longest))
        self.none: Floats = np.exp(-expected[:, 0])

    def ttft(self) -> Ttft:
        lasting, alone = self._lasting()
        backlog = self._backlog(lasting)
        total = np.zeros(_POINTS + 1)
        several = self.weights[1:].sum(axis=0) > 0
        counts = (self.weights > 0).sum(axis=0)
        for kind in (~several, several):
            shares = np.where(kind, self.prompts.share, 0.0)
            if not shares.any():
                continue
            first, own = self._first(lasting, alone, self.times[0], shares)
            first = self._sum(first, backlog)
            further = self._pass_with(self.times[1:], self.weights[1:])
            next_pass = own @ _steps(further) if kind is several else own
            for count in range(1, int(counts[kind].max()) + 1):
                share = float(shares[counts == count].sum())
                total += share * self._sum(first, self._split(np.array([count * self.unit.pass_us]), np.ones(1)))
                first = self._sum(first, next_pass)
        return Ttft(total, self.step)

    def _lasting(self) -> tuple[Floats, float]:
        """How likely a request finds a pass of each length, and that it finds the unit free."""
        cdf = self.all_shorter * self._normal(*self.work)
        # where nothing came during a pass, the next begins with the first that comes, alone
        none = self.none[:, None]
        turns = _steps(np.clip(cdf - none + none * self.longest, 0, 1))
        begun = np.full(len(turns), 1 / len(turns))
        for _ in range(_TURNS):
            before, begun = begun, (begun[:, None] * turns).sum(axis=0)
            if np.abs(begun - before).sum() < _SETTLED:
                break
        busy, free = begun * self.lasts, float(begun @ self.none) / self.chunks_per_us
        return busy / (busy.sum() + free), free / float(busy.sum() + free)

    def _backlog(self, lasting: Floats) -> Floats:
        """Distribution of the wait for passes that others fill; never ending where more comes than passes hold."""
        begun = lasting / np.maximum(self.lasts, self.step * 1e-3)
        begun = begun / begun.sum()
        mean_us = float(begun @ self.lasts)
        tokens, squares = (float(self.prompts.share @ self.prompts.missed**power) for power in (1, 2))
        coming = self.per_us * tokens * mean_us
        spread = (self.per_us * tokens) ** 2 * (
            float(begun @ self.lasts**2) - mean_us**2
        ) + self.per_us * squares * mean_us
        room = self.unit.pass_tokens - coming
        if room <= 0:
            return _steps(np.zeros(_POINTS + 1))
        wait_us = spread / (2 * room) / self.unit.pass_tokens * mean_us / self.unit.pooled
        return _steps(1 - np.exp(-(self.grid + self.step / 2) / max(wait_us, self.step * 1e-3)))

    def _first(self, lasting: Floats, alone: float, times: Floats, shares: Floats) -> tuple[Floats, Floats]:
        """Rest of the pass that is found, and the first pass of one's own; and that pass by itself."""
        own = _steps(self._pass_with(times[None, :], shares[None, :]))
        middles = self.grid + self.step / 2
        rest = _steps(np.minimum(middles / np.maximum(self.lasts, self.step * 1e-3)[:, None], 1.0))
        length = 4 * _POINTS
        spectra = np.fft.rfft(rest, length) * np.fft.rfft(own, length)
        waited = self._folded(np.fft.irfft(lasting @ spectra, length))
        by_itself = _steps(self._cdf(times[None, :], shares[None, :]))
        return waited + alone * by_itself, lasting @ own + alone * by_itself

    def _pass_with(self, times: Floats, weights: Floats) -> Floats:
        """Distribution function of a pass with a chunk of these kinds, by the pass before."""
        if not weights.any():
            return np.ones_like(self.all_shorter)
        mean, square = self._moments(times, weights)
        work = self._normal(self.work[0] + mean, self.work[1] + square - mean**2)
        shorter: Floats = self.all_shorter * work * self._cdf(times, weights)
        shorter[:, -1] = 1.0
        return shorter

    def _moments(self, times: Floats, weights: Floats) -> tuple[float, float]:
        """Mean and mean square of the work of one chunk, in time of the whole unit."""
        work = times / self.unit.parallel
        return float((work * weights).sum() / weights.sum()), float((work**2 * weights).sum() / weights.sum())

    def _normal(self, mean: Floats, variance: Floats) -> Floats:
        """Normal distribution functions on the grid, one per row; the work of a pass is a sum of many chunks."""
        deviations = (self.grid - mean) / np.sqrt(np.maximum(variance, self.step**2 * 1e-6))
        cdf: Floats = np.interp(deviations, _DEVIATIONS, _NORMAL)
        return cdf

    def _cdf(self, values: ArrayLike, weights: Floats) -> Floats:
        """Distribution function of weighted values on the grid."""
        cdf: Floats = np.cumsum(self._split(np.ravel(values), weights.ravel() / weights.sum()))
        cdf[-1] = 1.0
        return cdf

    def _split(self, values: Floats, weights: Floats) -> Floats:
        """Weights of values shared between the two nearest points, so that the mean stays."""
        places = np.minimum(values / self.step, _POINTS)
        low = np.minimum(places.astype(np.int64), _POINTS - 1)
        split = np.zeros(_POINTS + 1)
        np.add.at(split, low, weights * (1 - places + low))
        np.add.at(split, low + 1, weights * (places - low))
        return split

    def _sum(self, one: Floats, other: Floats) -> Floats:
        """Distribution of the sum of two independent times."""
        return self._folded(np.convolve(one, other))

    def _folded(self, probability: Floats) -> Floats:
        """The probability beyond the grid, moved to its last point."""
        folded = probability[: _POINTS + 1].copy()
        folded[-1] += probability[_POINTS + 1 :].sum()
        return folded


def _steps(cdf: Floats) -> Floats:
    """Probabilities from distribution functions, along the last axis; the rest lies on the last point."""
    steps = np.diff(cdf, axis=-1, prepend=0.0)
    steps[..., -1] += 1 - cdf[..., -1]
    return steps

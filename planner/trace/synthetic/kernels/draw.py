"""Compiled inner loops of the trace generator. Importing this module imports numba, which takes about a second."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from planner.jit import njit
from planner.units import Floats, Ints

STRATA = 4096
"""Strata of one stratified draw: small enough to be shuffled in the first-level cache."""

_TWO_32 = 4294967296.0

# Coefficients of M. J. Wichura's algorithm AS 241 (PPND16), Applied Statistics 37 (1988), 477-484:
# the normal quantile to about 1 part in 1e16.
_A = np.array(
    [
        3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
        4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3,
    ]
)  # fmt: skip
_B = np.array(
    [
        1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
        2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3,
    ]
)  # fmt: skip
_C = np.array(
    [
        1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
        1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4,
    ]
)  # fmt: skip
_D = np.array(
    [
        1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
        1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9,
    ]
)  # fmt: skip
_E = np.array(
    [
        6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
        2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7,
    ]
)  # fmt: skip
_F = np.array(
    [
        1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
        7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15,
    ]
)  # fmt: skip


@njit
def _ratio(above: Floats, below: Floats, x: float) -> float:
    """One polynomial over another, Horner's scheme."""
    top = above[7]
    bottom = below[7]
    for power in range(6, -1, -1):
        top = top * x + above[power]
        bottom = bottom * x + below[power]
    return top / bottom


@njit
def normal_quantile(p: float) -> float:
    """The standard normal quantile of 0 < p < 1 (AS 241)."""
    q = p - 0.5
    if abs(q) <= 0.425:
        return q * _ratio(_A, _B, 0.180625 - q * q)
    tail = p if q < 0 else 1.0 - p
    r = math.sqrt(-math.log(tail))
    z = _ratio(_C, _D, r - 1.6) if r <= 5.0 else _ratio(_E, _F, r - 5.0)
    return -z if q < 0 else z


_STEPS = 8192
_TAIL = 1.0 / 64.0
_CENTRE = np.array([NormalDist().inv_cdf(step / _STEPS) if 0 < step < _STEPS else 0.0 for step in range(_STEPS + 1)])


@njit
def fast_normal_quantile(p: float) -> float:
    """The normal quantile within 1e-5: interpolated in a table, and exact in the outer 1/64 on both sides."""
    if p < _TAIL or p > 1.0 - _TAIL:
        return normal_quantile(p)
    place = p * _STEPS
    step = int(place)
    return _CENTRE[step] + (place - step) * (_CENTRE[step + 1] - _CENTRE[step])


@njit
def stratified_uniforms(random: NDArray[np.uint32]) -> Floats:
    """Uniforms in (0, 1), one in every stratum of each run of rows, in random order.

    random: (n,) random bits. Runs hold STRATA to 2 * STRATA rows (fewer only if n is fewer). Returns (n,).
    """
    count = len(random)
    uniform = np.empty(count, np.float64)
    order = np.empty(2 * STRATA, np.int32)
    start = 0
    while start < count:
        size = count - start if count - start < 2 * STRATA else STRATA
        for i in range(size):
            order[i] = i
        for i in range(size - 1, 0, -1):
            j = (np.uint64(random[start + i]) * np.uint64(i + 1)) >> np.uint64(32)
            order[i], order[j] = order[j], order[i]
        shift = (random[start] + 0.5) / _TWO_32
        for i in range(size):
            uniform[start + i] = (order[i] + shift) / size
        start += size
    return uniform


@njit
def arrivals(gaps: Floats, slope: float, start_us: int, length_us: int) -> Ints:
    """Arrival times of a Poisson stream whose rate is linear over a cell, given their number.

    gaps: (n + 1,) standard exponentials. slope: (rate at the end - rate at the start) / mean rate, in (-2, 2).
    Returns (n,) ascending microseconds in [start_us, start_us + length_us).
    """
    count = len(gaps) - 1
    total = 0.0
    for i in range(count + 1):
        total += gaps[i]
    at_us = np.empty(count, np.int64)
    low = 1.0 - slope / 2.0
    passed = 0.0
    for i in range(count):
        passed += gaps[i]
        u = passed / total
        # the distribution function low*t + slope*t^2/2 solved for t, in the form that is stable at slope 0
        t = 2.0 * u / (low + math.sqrt(low * low + 2.0 * slope * u))
        at_us[i] = start_us + min(np.int64(t * length_us), length_us - 1)
    return at_us


@njit
def correlated_normals(first: Floats, second: Floats, correlation: float) -> tuple[Floats, Floats]:
    """Two standard normals of that correlation from two independent uniforms. (n,), (n,) -> (n,), (n,)."""
    count = len(first)
    normals = np.empty(count, np.float64)
    others = np.empty(count, np.float64)
    rest = math.sqrt(1.0 - correlation * correlation)
    for i in range(count):
        normals[i] = fast_normal_quantile(first[i])
        others[i] = correlation * normals[i] + rest * fast_normal_quantile(second[i])
    return normals, others


@njit
def apportion(wish: Floats, least: int, most: Ints, total: int) -> Ints:
    """Integers near the wishes, inside [least, most], that add up to the total; rounding is carried row to row.

    wish: (n,). most: (n,), or (1,) for all. What the limits exclude goes one by one to rows with room.
    A total outside the limits is met as far as they allow: the caller compares.
    """
    count = len(wish)
    whole = np.empty(count, np.int64)
    carry = 0.0
    rest = total
    for i in range(count):
        limit = most[i] if len(most) > 1 else most[0]
        value = np.int64(math.floor(wish[i] + carry + 0.5))
        value = max(min(value, limit), min(least, limit))
        carry += wish[i] - value
        whole[i] = value
        rest -= value
    moved = True
    while rest != 0 and moved:
        moved = False
        for i in range(count):
            limit = most[i] if len(most) > 1 else most[0]
            if rest > 0 and whole[i] < limit:
                whole[i] += 1
                rest -= 1
                moved = True
            elif rest < 0 and whole[i] > min(least, limit):
                whole[i] -= 1
                rest += 1
                moved = True
            if rest == 0:
                break
    return whole


@njit
def lognormal_lengths(z: Floats, mu: float, sigma: float, longest: int, total: int) -> Ints:
    """Lognormal lengths in [1, longest] that add up to the total, from standard normals. z: (n,). Returns (n,).

    The lengths below the cut are scaled to meet the total, then rounded. The caller compares the sum.
    """
    count = len(z)
    wish = np.empty(count, np.float64)
    free = 0.0
    fixed = 0
    for i in range(count):
        length = min(max(math.exp(mu + sigma * z[i]), 1.0), float(longest))
        wish[i] = length
        if length < longest:
            free += length
        else:
            fixed += longest
    factor = (total - fixed) / max(free, 1.0)
    if factor > 0:
        for i in range(count):
            if wish[i] < longest:
                wish[i] *= factor
    return apportion(wish, 1, np.full(1, longest, np.int64), total)


@njit
def cached_blocks(
    uniform: Floats,
    tokens: Ints,
    follow_up_share: float,
    share_table: Floats,
    block_tokens: int,
    total: int,
) -> Ints:
    """Cached blocks per request that add up to the total: on follow-ups, on others only where those are full.

    uniform: (n,). tokens: (n,) input. share_table: quantiles of the cached share of a follow-up at equal steps.
    Rounding down, on average by half a block, is part of the population; the scale keeps the total. Returns (n,).
    """
    count = len(uniform)
    wish = np.zeros(count, np.float64)
    most = np.zeros(count, np.int64)
    last = len(share_table) - 1
    wished = 0.0
    follow_ups = 0
    for i in range(count):
        v = (uniform[i] - (1.0 - follow_up_share)) / follow_up_share if follow_up_share > 0 else -1.0
        if v >= 0.0:
            place = v * last
            k = min(int(place), last - 1)
            share = share_table[k] + (place - k) * (share_table[k + 1] - share_table[k])
            wish[i] = tokens[i] * share / block_tokens
            most[i] = tokens[i] // block_tokens
            wished += wish[i]
            follow_ups += 1
    factor = (total + 0.5 * follow_ups) / max(wished, 1.0)
    for i in range(count):
        if most[i] > 0:
            wish[i] = wish[i] * factor - 0.5
    blocks = apportion(wish, 0, most, total)
    if blocks.sum() < total:
        for i in range(count):
            wish[i] = blocks[i]
            most[i] = tokens[i] // block_tokens
        blocks = apportion(wish, 0, most, total)
    return blocks

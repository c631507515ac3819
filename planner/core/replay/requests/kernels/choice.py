"""Choosing a unit, the table of units, and latency buckets: what the kernels of both roles share.

Loads are whole numbers in float64: sums of them are exact, and products for comparison need no conversion. Importing
this module imports numba.
"""

import numpy as np

from planner.core.replay.requests.kernels.layout import (
    COUNT,
    FIRST,
    NEXT_US,
    NIL,
    SECOND,
    Record,
    floats,
    ints,
    loads_of,
    numbers_of,
    padded,
)
from planner.jit import njit
from planner.units import Floats, Ints

RANDOM, ROUND_ROBIN, SHORTEST_QUEUE, POWER_OF_TWO, LEAST_KV, TWO_KEY, PREFIX_AWARE = range(7)
"""As in `planner.core.replay.requests.model.BALANCERS`."""

SUB_BUCKETS = 128
"""Buckets per doubling of a latency: a bucket is under 0.8 % wide, its middle within 0.4 % of any latency in it."""
BUCKETS = 40 * SUB_BUCKETS
"""From 1 us to 12 days; what is shorter or longer counts to the first or last."""
_MANTISSA_BITS = 52 - 7
"""Bits of a float64 below the seven that tell the buckets of a doubling apart."""
_FIRST_BITS = 1023 * SUB_BUCKETS
"""The remaining bits of 1.0."""
_INF_BITS = 0x7FF0000000000000


@njit
def bucket_of(us: float) -> int:
    """The bucket of a latency in microseconds: exponent and first bits of its float64."""
    bits = np.float64(us).view(np.int64) >> np.int64(_MANTISSA_BITS)
    return min(max(bits - _FIRST_BITS, 0), BUCKETS - 1)


@njit
def mix_bits(x: np.uint64) -> np.uint64:
    """Scramble 64 bits (the finaliser of splitmix64, public domain)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit
def uniform(seed: int, seq: int, role: int, salt: int) -> float:
    """A number from 0 to 1 that depends on nothing but its arguments."""
    stream = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * np.uint64(1 + salt + 2 * role)
    return float(mix_bits(mix_bits(stream) ^ np.uint64(seq)) >> np.uint64(11)) / 9007199254740992.0


@njit
def choose_unit(state: Record, balancer: int, seq: int, role: int) -> int:
    """The place in a stage's table of the unit for a request, of those that take work; NIL where none does."""
    row = 8 * padded(state.units_rows)
    return choose(
        balancer=balancer,
        size=state.open,
        candidates=state.candidates,
        numbers_at=state.numbers_at,
        count_at=state.loads_at + COUNT * row,
        first_at=state.loads_at + FIRST * row,
        second_at=state.loads_at + SECOND * row,
        total_first=state.total_first,
        total_second=state.total_second,
        seed=state.seed,
        seq=seq,
        role=role,
        last=state.last_unit,
    )


@njit
def choose(
    balancer: int,
    size: int,
    candidates: int,
    numbers_at: int,
    count_at: int,
    first_at: int,
    second_at: int,
    total_first: float,
    total_second: float,
    seed: int,
    seq: int,
    role: int,
    last: int,
) -> int:
    """The place of the candidate for a request, among `size` places; NIL where there is none.

    Arrays by address: numbers, ascending; loads, padded and inf for those that are not candidates: count in requests;
    first, which least-kv looks at, and second, the two keys. total_: sums over candidates. last: the number chosen
    before, for round-robin. Among equals the lowest.
    """
    if candidates == 0:
        return NIL
    count = floats(count_at, padded(size))
    if balancer >= TWO_KEY:
        # loads over their means: multiplied crosswise with totals; a load that no candidate has does not count
        scale, other = max(total_second, 1.0), max(total_first, 1.0)
        return argmin_of_larger(floats(first_at, padded(size)), floats(second_at, padded(size)), scale, other)
    if balancer == SHORTEST_QUEUE:
        return argmin(count)
    if balancer == LEAST_KV:
        return argmin(floats(first_at, padded(size)))
    if balancer == ROUND_ROBIN:
        return _next(count, ints(numbers_at, size), last)
    drawn = _nth(count, int(uniform(seed, seq, role, 0) * candidates))
    if balancer == RANDOM:
        return drawn
    other = _nth(count, int(uniform(seed, seq, role, 1) * candidates))
    return other if count[other] < count[drawn] else drawn


@njit
def _nth(count: Floats, nth: int) -> int:
    for place in range(count.shape[0]):
        if count[place] < np.inf:
            if nth == 0:
                return place
            nth -= 1
    return NIL


@njit
def _next(count: Floats, numbers: Ints, last: int) -> int:
    lowest = NIL
    for place in range(count.shape[0]):
        if count[place] < np.inf:
            if numbers[place] > last:
                return place
            if lowest == NIL:
                lowest = place
    return lowest


@njit
def argmin(load: Floats) -> int:
    """The first place of the smallest load. load: not negative, padded."""
    return argmin_of_larger(load, load, 1.0, 1.0)


@njit
def argmin_of_larger(first: Floats, second: Floats, scale_first: float, scale_second: float) -> int:
    """The first place of the smallest larger one of two scaled loads, not negative, padded.

    Two passes without a branch on the loads, which no predictor could guess: one for the smallest, one for its place.
    Bits of floats that are not negative are ordered as these, and a minimum of integers is compiled to vectors.
    """
    smallest = np.int64(_INF_BITS)
    for place in range(first.shape[0]):
        key, other = first[place] * scale_first, second[place] * scale_second
        smallest = min(smallest, np.float64(key if key > other else other).view(np.int64))
    lowest = np.int64(first.shape[0])
    for place in range(first.shape[0]):
        key, other = first[place] * scale_first, second[place] * scale_second
        larger = np.float64(key if key > other else other).view(np.int64)
        lowest = min(lowest, place if larger == smallest else np.int64(first.shape[0]))
    return lowest


@njit
def add_unit(state: Record, kept: int, number: int) -> int:
    """Put a unit that takes work from now on among the first `kept` of a stage's table; its place."""
    numbers, loads = numbers_of(state), loads_of(state)
    place = kept
    while place > 0 and numbers[place - 1] > number:
        numbers[place] = numbers[place - 1]
        loads[:, place] = loads[:, place - 1]
        place -= 1
    numbers[place] = number
    loads[:, place] = 0.0
    loads[NEXT_US, place] = np.inf
    state.open = kept + 1
    state.candidates += 1
    return place


@njit
def close_unit(state: Record, place: int) -> None:
    """Let a unit of a stage's table take no work from now on."""
    loads = loads_of(state)
    state.candidates -= 1
    state.total_first -= loads[FIRST, place]
    state.total_second -= loads[SECOND, place]
    loads[COUNT:, place] = np.inf


@njit
def add_load(state: Record, place: int, count: float, first: float, second: float) -> None:
    """Add to the loads of a unit that takes work."""
    loads = loads_of(state)
    loads[COUNT, place] += count
    loads[FIRST, place] += first
    loads[SECOND, place] += second
    state.total_first += first
    state.total_second += second

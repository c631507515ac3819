"""Who is in a unit: in order of admission, and by the step after which they leave. Compiled; imports numba.

Those begun are a list through the pool, the last admitted at its end. Rows are also in a ring by the step of rows
after which they leave, with a bit for every step that has any; those that leave beyond the ring are in a list of
their own, which is looked through every half round.
"""

import numpy as np

from planner.core.replay.iterations.kernels.layout import (
    AFTER,
    AHEAD,
    BEFORE,
    RING,
    WORDS,
    bits_of,
    blocks_of,
    links_of,
    phase_of,
    phases_of,
    pool_of,
    ring_of,
)
from planner.core.replay.iterations.kernels.lines import HERE
from planner.core.replay.requests.kernels.layout import NIL, Record
from planner.jit import inlined, njit


@inlined
def final_of(request: Record) -> int:
    """KV of a request when it leaves: its last token is told, and not computed."""
    return np.int64(request.prompt) + max(np.int64(request.output_tokens), 1) - 1


@inlined
def drop_row(state: Record, unit: Record, number: int, request: Record) -> None:
    """Take a row out of what a unit counts."""
    final, departs = final_of(request), np.int64(request.departs)
    kv = final - (departs - unit.steps)
    unit.rows -= 1
    unit.kv -= kv
    unit.used -= blocks_of(state, kv) + state.stream_blocks
    phases_of(state, number)[phase_of(state, departs - final)] -= 1


@inlined
def link(state: Record, unit: Record, entry: int) -> None:
    """Put a request at the end of the list of those begun."""
    links = links_of(state)
    pool_of(state)[entry].begun = HERE
    links[entry, BEFORE], links[entry, AFTER] = unit.last, NIL
    if unit.last == NIL:
        unit.first = entry
    else:
        links[unit.last, AFTER] = entry
    unit.last = unit.unfinished = entry
    unit.running += 1


@inlined
def unlink(state: Record, unit: Record, entry: int) -> None:
    """Take a request out of the list of those begun."""
    links = links_of(state)
    before, after = np.int64(links[entry, BEFORE]), np.int64(links[entry, AFTER])
    if before == NIL:
        unit.first = after
    else:
        links[before, AFTER] = after
    if after == NIL:
        unit.last = before
    else:
        links[after, BEFORE] = before
    unit.running -= 1


@inlined
def count_leaver(state: Record, unit: Record, number: int, entry: int) -> None:
    """Put a row among those that leave after the same step, or among those that leave beyond the ring."""
    request = pool_of(state)[entry]
    departs = np.int64(request.departs)
    if departs - unit.steps >= RING:
        request.following = unit.far
        unit.far = entry
        return
    slot, ring, bits = departs & (RING - 1), ring_of(state, number), bits_of(state, number)
    request.following = ring[slot]
    ring[slot] = entry
    bits[slot >> 6] |= np.uint64(1) << np.uint64(slot & 63)


@njit
def draw_near(state: Record, unit: Record, number: int) -> None:
    """Every half round of the ring: put those into it that leave within the next round."""
    pool, entry = pool_of(state), unit.far
    unit.far = NIL
    while entry != NIL:
        following = np.int64(pool[entry].following)
        count_leaver(state, unit, number, entry)
        entry = following


@njit
def forget_leaver(state: Record, unit: Record, number: int, entry: int) -> None:
    """Take a row out of those that leave after its last step."""
    pool = pool_of(state)
    departs, following = np.int64(pool[entry].departs), np.int64(pool[entry].following)
    slot, ring = departs & (RING - 1), ring_of(state, number)
    far = unit.far != NIL and _is_far(state, unit, entry)
    other = np.int64(unit.far) if far else np.int64(ring[slot])
    if other != entry:
        while pool[other].following != entry:
            other = np.int64(pool[other].following)
        pool[other].following = following
        return
    if far:
        unit.far = following
        return
    ring[slot] = following
    if following == NIL:
        bits_of(state, number)[slot >> 6] ^= np.uint64(1) << np.uint64(slot & 63)


@njit
def _is_far(state: Record, unit: Record, entry: int) -> bool:
    pool, other = pool_of(state), np.int64(unit.far)
    while other != NIL and other != entry:
        other = np.int64(pool[other].following)
    return other == entry


@inlined
def steps_to_leavers(state: Record, number: int, steps: int) -> int:
    """Steps from so many on until the first after which a row leaves; AHEAD where there is none within them."""
    bits, slot = bits_of(state, number), steps & (RING - 1)
    word, shift = slot >> 6, np.uint64(slot & 63)
    window = bits[word] >> shift
    if shift > 0:
        window |= bits[(word + 1) & (WORDS - 1)] << (np.uint64(64) - shift)
    if window == 0:
        return AHEAD
    lowest = float(window & (~window + np.uint64(1)))
    return min(AHEAD, (np.float64(lowest).view(np.int64) >> 52) - 1023)

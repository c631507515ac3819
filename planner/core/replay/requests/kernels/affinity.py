"""Session and prefix affinity: requests go to the unit that had their session or first block last; hits. Compiled.

The affinity table holds, by session or block, its sticky unit: the one that had it last. No entry is evicted; a unit
that drains or fails takes no work any more, so that its sessions and blocks go elsewhere. Importing this module imports
numba.
"""

import numpy as np

from planner.core.replay.requests.kernels.choice import PREFIX_AWARE, TWO_KEY, choose_unit, mix_bits
from planner.core.replay.requests.kernels.layout import (
    NIL,
    PREFILL_UNIT,
    SECOND,
    Record,
    Records,
    at_address,
    carray,
    ints,
    loads_of,
    numbers_of,
)
from planner.jit import njit
from planner.units import Ints

ROLE = 0


@njit
def units_of(state: Record) -> Records:
    return carray(at_address(state.units_at), (state.units_rows,), PREFILL_UNIT)


@njit
def alone_us(state: Record, missed: int, done: int) -> float:
    """One rank alone for so many tokens after so much context."""
    return missed * (state.missed_us + state.context_us * (done + missed / 2))


@njit
def alone_ns(state: Record, missed: int, done: int) -> float:
    """The same in whole nanoseconds, so that loads are sums without rounding."""
    return np.floor(alone_us(state, missed, done) * 1000 + 0.5)


@njit
def choose_by_session(state: Record, seq: int, session_id: int, work_ns: float) -> int:
    """The unit that had the session before, unless it is far busier than the mean: then by two keys."""
    sticky_units = _sticky_units(state)
    # blocks are numbered from 0 up in the same table, and NIL is not a key
    slot = _affinity_slot(state, NIL - 1 - session_id)
    place = _place_of_sticky_unit(state, work_ns, sticky_units[slot])
    if place == NIL:
        place = choose_unit(state, TWO_KEY, seq, ROLE)
        sticky_units[slot] = numbers_of(state)[place]
    return place


@njit
def choose_by_blocks(state: Record, request: Record, block_ids: Ints) -> int:
    """The balancer's unit, prefix-aware the one that had the first block last, unless it is far busier than the mean.

    Where hits are found by routing, they are the leading blocks that the chosen unit had last.
    """
    sticky_units, size = _sticky_units(state), block_ids.shape[0]
    holder, held = np.int64(NIL), 0
    while held < size:
        unit = sticky_units[_affinity_slot(state, block_ids[held])]
        if unit == NIL or (held > 0 and unit != holder):
            break
        holder = unit
        held += 1
    if state.routed:
        _set_hits(state, request, held)
    if state.candidates == 0:
        place = np.int64(NIL)
    else:
        work_ns = alone_ns(state, np.int64(request.missed), np.int64(request.done))
        place = _place_of_sticky_unit(state, work_ns, holder) if state.balancer == PREFIX_AWARE else np.int64(NIL)
        if place == NIL:
            place = choose_unit(state, state.balancer, request.seq, ROLE)
    unit = numbers_of(state)[place] if place != NIL else np.int64(NIL)
    if state.routed and unit != holder:
        _set_hits(state, request, 0)
    if unit != NIL:
        for block in block_ids:
            sticky_units[_affinity_slot(state, block)] = unit
    return place


@njit
def _set_hits(state: Record, request: Record, blocks: int) -> None:
    """Let so many leading blocks of a prompt that has not been begun be there already."""
    tokens = np.int64(request.missed) + np.int64(request.done)
    request.done = min(blocks * state.block_tokens, tokens)
    request.missed = tokens - request.done


@njit
def _place_of_sticky_unit(state: Record, work_ns: float, unit: int) -> int:
    """The place of a sticky unit for so much work; NIL where it takes none, or has far too much."""
    units = units_of(state)
    if unit == NIL or not units[unit].takes:
        return NIL
    place = np.int64(units[unit].place)
    mine, own = loads_of(state)[SECOND, place] * state.candidates, work_ns * state.candidates
    return place if mine <= 2 * state.total_second + own else np.int64(NIL)


@njit
def _sticky_units(state: Record) -> Ints:
    """Units by slot of the affinity table."""
    return carray(at_address(state.affinity_at), (2, state.affinity_rows), np.int64)[1]


@njit
def _affinity_slot(state: Record, key: int) -> int:
    """The slot of a session or block, entered where it is new: open addressing in a table that is never full."""
    keys = ints(state.affinity_at, state.affinity_rows)
    mask = state.affinity_rows - 1
    slot = np.int64(mix_bits(np.uint64(key)) & np.uint64(mask))
    while keys[slot] != key:
        if keys[slot] == NIL:
            keys[slot] = key
            state.affinities += 1
            break
        slot = (slot + 1) & mask
    return slot


@njit
def rehash(old: Ints, new: Ints) -> None:
    """Move an affinity table into a larger one."""
    mask = new.shape[1] - 1
    for row in range(old.shape[1]):
        if old[0, row] != NIL:
            slot = np.int64(mix_bits(np.uint64(old[0, row])) & np.uint64(mask))
            while new[0, slot] != NIL:
                slot = (slot + 1) & mask
            new[:, slot] = old[:, row]

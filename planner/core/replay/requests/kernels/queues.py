"""Queues of requests in prefill: listed, and taken out of units that drain or fail. Compiled.

Queues are linked lists through the pool. Importing this module imports numba.
"""

import numpy as np

from planner.core.replay.requests.kernels.affinity import alone_ns, units_of
from planner.core.replay.requests.kernels.layout import (
    NEXT_US,
    NIL,
    WAITING,
    Record,
    Records,
    at_address,
    carray,
    loads_of,
)
from planner.core.replay.requests.kernels.tally import count_pass, count_queued
from planner.jit import njit
from planner.units import Ints


@njit
def pool_of(state: Record) -> Records:
    return carray(at_address(state.pool_at), (state.pool_rows,), WAITING)


@njit
def list_in_system(states: Records, places: Ints) -> int:
    """Write the places of requests in prefill to an array, and give their number.

    They are in queues, in passes, without a unit, or waiting for a retry. Those that are read again are among them.
    """
    state = states[0]
    units = units_of(state)
    count = _walk(state, state.unassigned_head, places, 0)
    count = _walk(state, state.retry_head, places, count)
    for number in range(state.units_rows):
        count = _walk(state, units[number].head, places, count)
        count = _walk(state, units[number].pass_head, places, count)
    return count


@njit
def _walk(state: Record, place: int, places: Ints, count: int) -> int:
    """Write the places of a list after the first so many."""
    while place != NIL:
        places[count] = place
        count += 1
        place = np.int64(pool_of(state)[place].following)
    return count


@njit
def take_not_begun(state: Record, unit: Record) -> int:
    """Take all requests out of a unit's queue that it has not begun, and give their list. Those begun come first."""
    pool = pool_of(state)
    last, place = NIL, unit.head
    while place != NIL and pool[place].piece >= 0:
        last, place = place, np.int64(pool[place].following)
    head = place
    while place != NIL:
        unit.waiting -= 1
        unit.waiting_missed -= pool[place].missed
        place = np.int64(pool[place].following)
    unit.tail = last
    if last != NIL:
        pool[last].following = NIL
    else:
        unit.head = NIL
        if unit.pass_head == NIL and unit.place != NIL:
            loads_of(state)[NEXT_US, unit.place] = np.inf
    return head


@njit
def take_all(state: Record, unit: Record, at: float) -> int:
    """Take all requests out of a unit that fails now, and give their list: those of the pass, then the queue.

    What it read of them is lost, and so are hits that only this unit had.
    """
    pool = pool_of(state)
    head, last = (unit.pass_head if unit.pass_head != NIL else unit.head), unit.pass_head
    if head == NIL:
        return NIL
    while last != NIL and pool[last].following != NIL:
        last = np.int64(pool[last].following)
    if last != NIL:
        pool[last].following = unit.head
    if unit.pass_head != NIL:
        # the rest of it does not happen
        count_pass(state, at, loads_of(state)[NEXT_US, unit.place], unit.work_share, -1.0)
    unit.pass_head = unit.head = unit.tail = NIL
    loads_of(state)[NEXT_US, unit.place] = np.inf
    place = head
    while place != NIL:
        request = pool[place]
        count_queued(state, at, 1 if request.piece >= 0 else 0)
        request.missed += request.done - request.cached
        request.done = request.cached
        request.piece = -1
        request.work_ns = alone_ns(state, np.int64(request.missed), np.int64(request.done))
        unit.lost += 1
        place = np.int64(request.following)
    return head
